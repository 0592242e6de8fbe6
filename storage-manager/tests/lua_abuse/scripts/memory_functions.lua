-- ends: memory time
local list = {}
while true do
    local captured = {}
    list[#list + 1] = function() return captured end
end
