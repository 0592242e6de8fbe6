-- ends: finished raised memory time
local unpack = table.unpack or unpack
local list = {}
for i = 1, 190000 do list[i] = {} end
print(unpack(list))
