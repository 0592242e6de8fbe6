-- ends: memory time
local threads = {}
while true do
    local thread = coroutine.create(function() coroutine.yield() end)
    coroutine.resume(thread)
    threads[#threads + 1] = thread
end
