-- ends: raised memory time
local meta = {}
meta.__eq = function() return setmetatable({}, meta) == setmetatable({}, meta) end
print(setmetatable({}, meta) == setmetatable({}, meta))
