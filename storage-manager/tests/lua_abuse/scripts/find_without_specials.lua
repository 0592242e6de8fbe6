-- ends: time
local text = ("a"):rep(2 ^ 23)
while true do text:find(text:sub(1, 2 ^ 20) .. "b") end
