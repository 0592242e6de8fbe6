-- ends: time
while true do pcall(coroutine.yield) end
