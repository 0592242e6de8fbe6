-- ends: time raised
-- Luau has no tail calls.
local function again() return again() end
again()
