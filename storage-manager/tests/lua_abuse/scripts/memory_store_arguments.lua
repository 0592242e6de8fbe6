-- ends: finished raised memory time
local list = {}
for i = 1, 190000 do list[i] = {} end
while true do store.get("a", (table.unpack or unpack)(list)) end
