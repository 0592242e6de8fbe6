-- ends: memory raised time
print(#("x"):rep(1000000):gsub("x", ("y"):rep(1000000)))
