-- ends: memory time
local list, i = {}, 0
while true do
    i = i + 1
    list["key " .. i] = true
end
