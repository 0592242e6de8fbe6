-- ends: raised memory time
while true do ("a"):rep(2 ^ 22):split("") end
