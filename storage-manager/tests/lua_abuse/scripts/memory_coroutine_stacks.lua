-- ends: memory time
local threads = {}
local function deep(n)
    if n == 0 then coroutine.yield() else deep(n - 1) end
    return n
end
while true do
    local thread = coroutine.create(deep)
    coroutine.resume(thread, 5000)
    threads[#threads + 1] = thread
end
