-- ends: memory time
local parts = {}
for i = 1, 200000 do parts[i] = i end
local thread = coroutine.wrap(function(...) while true do coroutine.yield(...) end end)
local kept = {}
while true do kept[#kept + 1] = { thread((unpack or table.unpack)(parts)) } end
