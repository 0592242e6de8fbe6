-- ends: raised memory time
local function deeper() table.sort({ 2, 1 }, deeper) end
deeper()
