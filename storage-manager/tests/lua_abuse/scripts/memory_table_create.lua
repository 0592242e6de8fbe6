-- ends: raised memory time
print(#table.create(2 ^ 26, 0))
