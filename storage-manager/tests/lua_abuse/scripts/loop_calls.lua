-- ends: time
local function nothing() end
while true do nothing() end
