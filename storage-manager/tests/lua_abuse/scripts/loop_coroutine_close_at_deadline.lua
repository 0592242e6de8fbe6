-- ends: time raised
coroutine.wrap(function()
    local resource <close> = setmetatable({}, { __close = function() while true do end end })
    while true do end
end)()
