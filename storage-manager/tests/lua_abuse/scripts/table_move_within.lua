-- ends: time memory raised
local list = {}
for i = 1, 700000 do list[i] = i end
while true do table.move(list, 1, 700000, 2) end
