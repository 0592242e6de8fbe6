-- ends: time raised
-- Luau has no <close>.
local resource <close> = setmetatable({}, { __close = function() while true do end end })
