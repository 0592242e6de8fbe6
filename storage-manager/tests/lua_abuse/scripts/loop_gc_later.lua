-- ends: finished time raised
-- Lua marks a table for finalization when it gets its metatable; a field that comes later comes too late.
local meta = {}
local function garbage() setmetatable({}, meta) end
meta.__gc = function() while true do end end
for _ = 1, 100000 do garbage() end
