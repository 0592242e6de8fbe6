-- ends: finished raised
-- Whatever succeeds here, the next script must not see.
for _, library in ipairs({ string, table, math, os, utf8 }) do
    for name in pairs(library) do pcall(function() library[name] = function() return "poisoned" end end) end
end
for name in pairs(_G) do
    if name ~= "pcall" and name ~= "pairs" and name ~= "_G" then pcall(function() _G[name] = "poisoned" end) end
end
planted = "poisoned"
