-- ends: finished time
-- A naive search compares 2^43 bytes.
local text = ("a"):rep(2 ^ 23)
print(text:find(text:sub(1, 2 ^ 20) .. "b", 1, true))
while true do end
