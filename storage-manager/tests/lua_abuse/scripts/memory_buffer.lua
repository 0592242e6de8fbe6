-- ends: raised memory time
local list = {}
while true do list[#list + 1] = buffer.create(2 ^ 20) end
