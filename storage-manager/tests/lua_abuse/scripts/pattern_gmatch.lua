-- ends: time
for _ in ("a"):rep(30000):gmatch((".-"):rep(12) .. "b") do end
