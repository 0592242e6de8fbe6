-- ends: time
while true do
    local thread = coroutine.create(function() while true do pcall(function() while true do end end) end end)
    coroutine.resume(thread)
end
