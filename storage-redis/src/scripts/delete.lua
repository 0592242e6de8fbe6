-- Deletes an item. KEYS: item, mark, index. ARGV: the time; the condition (nothing or a version); whether everything is
-- indexed.
--
-- Answers 1 if a live item was there, 0 if not, else why it was refused.
local item, mark, index = KEYS[1], KEYS[2], KEYS[3]
local old = redis.pcall('GETRANGE', item, 0, 255)
if type(old) == 'table' then return {'type'} end
if old == '' then return 0 end
local v1, v2, _, _, _, _, e1, e2, _, _, _, _, length = limbs_of(old)
if not v1 then
  if ARGV[2] ~= '' then return {'damaged'} end
  redis.call('UNLINK', item)
  return 1
end
if not above(e1, e2, struct.unpack('>I4I4', ARGV[1])) then return 0 end
if ARGV[2] ~= '' and ARGV[2] ~= old:sub(5, 12) then return {'conflict', old:sub(5, 12)} end
local highest = redis.call('GET', mark)
if highest and #highest ~= 8 then return {'mark'} end

local entries = entries_of(old, item:sub(#mark + 2), meta_of(item, old, length), ARGV[3] == '1', {})
if #entries > 0 then redis.call('ZREM', index, unpack(entries)) end
redis.call('UNLINK', item)
-- The mark remembers the version that goes with the item. After the first write, a server without memory lets it pass.
if not highest or above(v1, v2, struct.unpack('>I4I4', highest)) then redis.call('SET', mark, old:sub(5, 12)) end
return 1
