-- ends: time memory
local text = ""
while true do text = text .. "0123456789abcdef" end
