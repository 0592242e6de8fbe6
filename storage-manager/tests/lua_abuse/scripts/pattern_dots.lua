-- ends: time
print(("a"):rep(30000):find((".-"):rep(20) .. "b"))
