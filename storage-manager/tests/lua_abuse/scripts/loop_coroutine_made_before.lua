-- ends: time
-- Made while there is time; each catches what stops it and hands over to the next.
local function loop() while true do end end
local threads = {}
for i = 1, 50 do
    threads[i] = coroutine.create(function()
        while true do
            pcall(loop)
            if threads[i - 1] then pcall(coroutine.resume, threads[i - 1]) end
        end
    end)
end
while true do pcall(coroutine.resume, threads[#threads]) pcall(loop) end
