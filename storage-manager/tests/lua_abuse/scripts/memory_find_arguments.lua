-- ends: finished raised memory time
local unpack = table.unpack or unpack
local list = {}
for i = 1, 900000 do list[i] = "x" .. i % 10 end
print(string.find(unpack(list)))
