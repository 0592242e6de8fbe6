-- ends: time finished raised
table.move({}, 1, 2 ^ 31 - 10, 2)
while true do end
