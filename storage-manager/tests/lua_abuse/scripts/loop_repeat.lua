-- ends: time
repeat until false
