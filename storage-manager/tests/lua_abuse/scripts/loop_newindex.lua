-- ends: time
local value = setmetatable({}, { __newindex = function() while true do end end })
value.x = 1
