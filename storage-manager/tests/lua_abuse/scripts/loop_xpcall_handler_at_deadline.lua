-- ends: time
-- The error that stops the loop is what the handler is called for.
while true do xpcall(function() while true do end end, function() while true do end end) end
