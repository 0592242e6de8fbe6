-- Finds the content types of a bucket by leaping from one to the next. KEYS: index. ARGV: the marker; the content type to
-- go on behind, or nothing; most content types to find.
--
-- Answers the content types, nothing at all if the marker is missing.
local index = KEYS[1]
if not redis.call('ZSCORE', index, ARGV[1]) then return false end
local found = {}
local from = ARGV[2] == '' and '[k' or '[k' .. ARGV[2] .. '\1'
while #found < ARGV[3] + 0 do
  local entry = redis.call('ZRANGE', index, from, '(l', 'BYLEX', 'LIMIT', 0, 1)[1]
  if not entry then break end
  local kind = entry:sub(2, entry:find('\0', 1, true) - 1)
  found[#found + 1] = kind
  from = '[k' .. kind .. '\1'
end
return found
