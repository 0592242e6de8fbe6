-- ends: time
local value = setmetatable({}, { __index = function() while true do end end })
print(value.x)
