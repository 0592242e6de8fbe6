-- ends: time
local meta = { __lt = function() while true do end end }
print(setmetatable({}, meta) < setmetatable({}, meta))
