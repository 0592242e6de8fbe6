-- ends: raised memory time
local function deeper(a, b, c, d, e, f, g) return 1 + deeper(g, f, e, d, c, b, a) end
deeper(1, 2, 3, 4, 5, 6, 7)
