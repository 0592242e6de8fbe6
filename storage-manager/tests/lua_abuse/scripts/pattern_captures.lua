-- ends: time
print(("x"):rep(5000):match(("(.*)"):rep(8) .. "="))
