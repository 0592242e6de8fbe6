-- ends: time
local function nested(depth)
    if depth == 0 then while true do end end
    while true do pcall(nested, depth - 1) end
end
nested(50)
