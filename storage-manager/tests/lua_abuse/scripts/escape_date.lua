-- ends: finished raised
-- The C library is asked only for what it knows.
for _, format in ipairs({ "%E", "%O", "%", "%Q", ("%c"):rep(10000), "!%H" }) do pcall(os.date, format, 0) end
for _, time in ipairs({ 2 ^ 63, -2 ^ 63, 1e300, 0 / 0, 1 / 0 }) do pcall(os.date, "%c", time) end
