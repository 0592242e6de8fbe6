-- ends: time
print(("a"):rep(30000):gsub((".-"):rep(12) .. "b", ""))
