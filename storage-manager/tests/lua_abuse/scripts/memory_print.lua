-- ends: raised memory time
-- The line would be larger than all memory of the script.
local unpack = table.unpack or unpack
local text, list = ("x"):rep(1000000), {}
for i = 1, 2000 do list[i] = text end
print(unpack(list))
