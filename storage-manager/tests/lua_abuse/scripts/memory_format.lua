-- ends: memory raised time
local text = ("x"):rep(4000000)
print(#string.format(("%s"):rep(20), text, text, text, text, text, text, text, text, text, text, text, text))
