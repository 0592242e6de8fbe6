-- ends: raised memory time
error(("x"):rep(2 ^ 23))
