-- ends: time
print(#setmetatable({}, { __len = function() while true do end end }))
