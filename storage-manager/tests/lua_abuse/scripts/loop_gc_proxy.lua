-- ends: raised
-- Luau's own way to a finalizer.
local proxy = newproxy(true)
getmetatable(proxy).__gc = function() while true do end end
