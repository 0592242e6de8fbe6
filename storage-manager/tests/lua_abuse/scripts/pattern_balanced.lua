-- ends: time
while true do print(("("):rep(200000):find("%b()")) end
