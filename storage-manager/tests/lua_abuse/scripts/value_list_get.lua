-- ends: time
local list = {}
for i = 1, 100000 do list[i] = i end
pcall(store.put, "list", list)
while true do pcall(store.get, "list") end
