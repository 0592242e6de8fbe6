-- ends: time
local list = {}
for i = 1, 300000 do list[i] = i end
while true do pcall(store.put, "list", list) end
