-- ends: time
while true do xpcall(function() while true do end end, function() error("again") end) end
