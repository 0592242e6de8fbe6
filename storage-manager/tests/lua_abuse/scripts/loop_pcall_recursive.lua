-- ends: time
local function twice() pcall(twice) twice() end
while true do pcall(twice) end
