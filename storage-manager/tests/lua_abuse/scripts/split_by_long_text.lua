-- ends: raised time
-- Lua 5.4 has no split.
local text = ("a"):rep(2 ^ 23)
while true do text:split(text:sub(1, 2 ^ 20) .. "b") end
