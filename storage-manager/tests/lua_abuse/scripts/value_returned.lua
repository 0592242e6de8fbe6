-- ends: finished time
local value = {}
for i = 1, 15 do value = { value, value, value } end
return value
