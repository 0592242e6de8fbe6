-- ends: finished raised
-- The host's print uses a tostring of its own.
tostring = function() while true do end end
print(1, {}, nil)
