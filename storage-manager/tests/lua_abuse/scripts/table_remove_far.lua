-- ends: time raised finished
-- Lua 5.4 believes __len.
local length = setmetatable({}, { __len = function() return 2 ^ 31 end })
for _ = 1, 100 do table.remove(length, 1) end
