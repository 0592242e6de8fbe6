-- ends: raised time
local value
value = setmetatable({}, { __tostring = function() return tostring(value) end })
print(value)
