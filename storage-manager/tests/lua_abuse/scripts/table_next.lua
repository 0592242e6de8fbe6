-- ends: time memory
local list = {}
for i = 1, 500000 do list["k" .. i % 100000] = i end
for key in pairs(list) do list[key] = nil end
while true do next(list) end
