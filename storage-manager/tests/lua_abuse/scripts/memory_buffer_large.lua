-- ends: raised memory time
print(buffer.create(2 ^ 30))
