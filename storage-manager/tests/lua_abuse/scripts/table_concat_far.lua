-- ends: raised time
local list = setmetatable({}, { __index = function() return "" end })
table.concat(list, "", 1, 2 ^ 31 - 1)
