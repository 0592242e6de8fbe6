-- Removes an index entry that belongs to no item. KEYS: item, index. ARGV: the entry; the version of the item that was seen
-- not to have it, or nothing if no item was there.
--
-- Answers 1 if it was removed, 0 if the item is another one by now.
local item, index = KEYS[1], KEYS[2]
if ARGV[2] == '' then
  if redis.call('EXISTS', item) == 1 then return 0 end
elseif redis.call('GETRANGE', item, 4, 11) ~= ARGV[2] then
  return 0
end
redis.call('ZREM', index, ARGV[1])
return 1
