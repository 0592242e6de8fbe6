-- ends: raised memory time
local function deeper() return (("x"):gsub(".", deeper)) end
deeper()
