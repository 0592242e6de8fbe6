-- ends: time memory
local names = {}
for i = 1, 50000 do names["name " .. i] = { i } end
while true do
    pcall(store.put, "names", names)
    pcall(store.get, "names")
end
