-- ends: memory raised time
local list = {}
for i = 1, 10000 do list[i] = ("x"):rep(10000) end
print(#table.concat(list))
