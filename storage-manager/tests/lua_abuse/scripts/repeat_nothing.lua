-- ends: finished raised time
print(#(""):rep(2 ^ 53))
print(#(""):rep(2 ^ 31 - 1))
while true do end
