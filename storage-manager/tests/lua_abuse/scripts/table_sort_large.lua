-- ends: time memory raised
local list = {}
for i = 1, 700000 do list[i] = (i * 7919) % 1000003 end
while true do
    table.sort(list)
    for i = 1, #list do list[i] = (list[i] * 7919 + i) % 1000003 end
end
