-- Puts an item back into a lost index, unless it was changed meanwhile and so put itself there. KEYS: item, index. ARGV: the
-- head of the item; then pairs of a score and an entry.
if redis.call('GETRANGE', KEYS[1], 0, #ARGV[1] - 1) ~= ARGV[1] then return 0 end
redis.call('ZADD', KEYS[2], unpack(ARGV, 2))
return 1
