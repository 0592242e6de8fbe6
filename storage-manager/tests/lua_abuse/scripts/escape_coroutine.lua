-- ends: finished
-- The thread of the host can be looked at and nothing else.
local main = coroutine.running()
assert(not coroutine.resume(main) and not pcall(coroutine.close, main))
coroutine.wrap(function()
    assert(not coroutine.resume(main) and not pcall(coroutine.close, main))
    assert(coroutine.status(main) == "normal")
end)()
assert(not pcall(coroutine.yield) and not pcall(coroutine.yield, 1, 2))
assert(not pcall(coroutine.wrap(function() error() end)))
local names = {}
for name in pairs(coroutine) do names[#names + 1] = name end
table.sort(names)
local seen = table.concat(names, " ")
if seen ~= "close create isyieldable resume running status wrap yield" then print("ESCAPED " .. seen) end
