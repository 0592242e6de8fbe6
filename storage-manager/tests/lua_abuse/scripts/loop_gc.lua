-- ends: finished raised
-- A finalizer would run when the script is over.
for _ = 1, 1000 do setmetatable({}, { __gc = function() while true do end end }) end
