-- ends: raised time
local value
value = setmetatable({}, { __tostring = function() print(value) return "x" end })
print(value)
