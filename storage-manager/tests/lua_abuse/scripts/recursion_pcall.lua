-- ends: raised memory finished time
local function deeper() return pcall(deeper) end
deeper()
