-- ends: raised
local unpack = table.unpack or unpack
print(unpack({}, 1, 10000000))
