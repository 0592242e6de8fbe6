-- ends: time
local function loop() while true do end end
local list = {}
for i = 1, 1000 do list[i] = i % 7 end
while true do
    pcall(table.sort, list, function(a, b) coroutine.wrap(function() pcall(loop) end)() return a < b end)
end
