-- Reads one section of an index and keeps what has all of some tags. KEYS: index. ARGV: the marker; where to begin and to
-- end, and `REV` to go backwards or nothing; most entries to read; length of what stands before the key in an entry; what
-- stands before the key in the entry of each tag.
--
-- Answers the entries kept, behind the last entry read if there may be more; nothing at all if the marker is missing.
local index = KEYS[1]
if not redis.call('ZSCORE', index, ARGV[1]) then return false end
local read
if ARGV[4] == 'REV' then
  read = redis.call('ZRANGE', index, ARGV[2], ARGV[3], 'BYLEX', 'REV', 'LIMIT', 0, ARGV[5])
else
  read = redis.call('ZRANGE', index, ARGV[2], ARGV[3], 'BYLEX', 'LIMIT', 0, ARGV[5])
end
local last = #read == ARGV[5] + 0 and read[#read] or ''
local before = ARGV[6] + 1
for place = 7, #ARGV do
  if #read == 0 then break end
  local wanted = {}
  for at, entry in ipairs(read) do wanted[at] = ARGV[place] .. entry:sub(before) end
  local kept = {}
  for at, score in ipairs(redis.call('ZMSCORE', index, unpack(wanted))) do
    if score then kept[#kept + 1] = read[at] end
  end
  read = kept
end
table.insert(read, 1, last)
return read
