-- ends: finished
local meta = getmetatable("")
if type(meta) == "table" then
    print("ESCAPED: the metatable of strings")
    meta.__index = function() return "poisoned" end
end
if pcall(setmetatable, "", {}) then print("ESCAPED: setmetatable of a string") end
