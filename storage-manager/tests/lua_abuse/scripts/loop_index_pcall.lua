-- ends: time
local value = setmetatable({}, { __index = function() while true do end end })
while true do pcall(function() return value.x end) end
