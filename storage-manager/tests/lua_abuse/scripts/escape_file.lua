-- ends: finished
for _, name in ipairs({ "dofile", "loadfile", "require" }) do
    local ok, text = pcall(function() return _G[name]("/etc/passwd") end)
    if ok or tostring(text):find("root") then print("ESCAPED: " .. name) end
end
