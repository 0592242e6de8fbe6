-- ends: finished
if string.dump then print("ESCAPED: string.dump") end
local ok = pcall(function() return load(string.dump(function() end), "x", "b") end)
if ok then print("ESCAPED: bytecode") end
