-- ends: raised memory finished time
-- Through a function of the host and back.
local value
value = setmetatable({}, { __index = string, __tostring = function() return tostring(value):find("x") end })
print(value)
