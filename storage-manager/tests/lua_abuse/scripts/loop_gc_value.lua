-- ends: raised finished
-- Lua marks a table for finalization whatever its metatable has under __gc, and looks again when it runs.
local meta = { __gc = false }
for _ = 1, 1000 do setmetatable({}, meta) end
meta.__gc = function() while true do end end
for _ = 1, 100000 do local _ = {} end
