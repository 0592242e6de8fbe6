-- ends: time
("x"):gsub(".", function() while true do end end)
