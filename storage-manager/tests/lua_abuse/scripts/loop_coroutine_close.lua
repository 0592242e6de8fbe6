-- ends: time raised
local thread = coroutine.create(function()
    local resource <close> = setmetatable({}, { __close = function() while true do end end })
    coroutine.yield()
end)
coroutine.resume(thread)
coroutine.close(thread)
