-- ends: time memory
local list = {}
for i = 1, 700000 do list[i] = i end
while true do table.insert(list, 1, 0) end
