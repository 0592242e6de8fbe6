-- ends: raised memory time
local text = (", "):rep(2 ^ 21)
while true do text:split(", ") end
