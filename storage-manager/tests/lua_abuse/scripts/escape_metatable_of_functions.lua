-- ends: finished
for _, value in ipairs({ print, 1, true, pairs }) do
    if getmetatable(value) ~= nil then print("ESCAPED: a metatable of " .. type(value)) end
end
