-- ends: time memory raised
local function nest() while true do pcall(coroutine.wrap(nest)) end end
nest()
