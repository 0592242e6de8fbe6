-- ends: raised
load("while true do end")()
