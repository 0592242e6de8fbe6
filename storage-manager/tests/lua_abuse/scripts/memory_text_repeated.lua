-- ends: memory raised time
print(#("x"):rep(1000000000))
