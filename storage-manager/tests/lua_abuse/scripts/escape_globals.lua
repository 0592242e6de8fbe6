-- ends: finished
for _, name in ipairs({
    "collectgarbage", "debug", "dofile", "gcinfo", "getfenv", "io", "load", "loadfile", "loadstring",
    "newproxy", "package", "require", "setfenv", "warn", "module", "jit", "ffi", "arg",
}) do
    if _G[name] ~= nil then print("ESCAPED: " .. name) end
end
