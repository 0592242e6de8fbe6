-- ends: time
local value = { 1, 2, 3 }
for i = 1, 100 do value = { value, value } end
while true do pcall(store.put, "value", value) end
