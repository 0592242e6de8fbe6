-- ends: raised memory time
local value
value = setmetatable({}, { __index = function(_, key) return value[key .. "x"] end })
print(value.x)
