-- ends: time
local list = {}
for i = 1, 700000 do list[i] = i end
while true do local _ = #list end
