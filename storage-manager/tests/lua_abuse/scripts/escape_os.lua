-- ends: finished
for name in pairs(os) do
    if name ~= "clock" and name ~= "date" and name ~= "difftime" and name ~= "time" then print("ESCAPED: os." .. name) end
end
