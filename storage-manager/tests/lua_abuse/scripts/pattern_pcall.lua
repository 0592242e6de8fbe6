-- ends: time
while true do pcall(string.find, ("a"):rep(30000), (".-"):rep(20) .. "b") end
