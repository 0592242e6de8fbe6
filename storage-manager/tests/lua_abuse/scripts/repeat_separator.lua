-- ends: raised memory time finished
print(#(""):rep(2 ^ 30, ","))
