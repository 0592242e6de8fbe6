-- ends: raised time
local value = {}
value.__index = value
setmetatable(value, value)
print(value.x)
