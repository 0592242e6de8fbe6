-- ends: raised memory time
print(#string.pack("s", ("x"):rep(20000000)) .. string.pack("s", ("x"):rep(20000000)))
