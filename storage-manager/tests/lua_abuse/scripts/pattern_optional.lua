-- ends: time
local n = 40
print(("a"):rep(n):find(("a?"):rep(n) .. ("a"):rep(n)))
