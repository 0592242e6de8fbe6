-- ends: memory time
local list = {}
while true do list = { list, {} } end
