-- ends: raised memory time
local list = {}
for i = 1, 500000 do list[i] = i end
while true do table.clone(list) end
