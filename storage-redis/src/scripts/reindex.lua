-- Puts an item back into a lost index. KEYS: item, index. ARGV: whether everything is indexed.
--
-- Answers 1 if it was put back, 0 if there is nothing to put back, else why it cannot be read.
local item, index = KEYS[1], KEYS[2]
local old = redis.pcall('GETRANGE', item, 0, 255)
if type(old) == 'table' then return {'type'} end
if old == '' then return 0 end
local sound, _, _, _, _, _, _, _, _, _, _, _, length = limbs_of(old)
if not sound then return {'damaged'} end
local read, entries = pcall(entries_of, old, item:sub(#index + 2), meta_of(item, old, length), ARGV[1] == '1', {})
if not read then return {'damaged'} end
if #entries == 0 then return 0 end
local added = {}
for _, entry in ipairs(entries) do
  added[#added + 1] = '0'
  added[#added + 1] = entry
end
redis.call('ZADD', index, unpack(added))
return 1
