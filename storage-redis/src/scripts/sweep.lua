-- Removes expired items. KEYS: mark, index, and the item of each entry. ARGV: whether everything is indexed; nothing; the
-- entries of deadlines that have passed, some of which may be of items that were changed meanwhile.
--
-- Answers how many items expired, their payload bytes, and how many entries belonged to no item.
local mark, index = KEYS[1], KEYS[2]
local indexed = ARGV[1] == '1'
local highest = redis.call('GET', mark)
if highest and #highest ~= 8 then return {'mark'} end
local expired, bytes, orphans, version = 0, 0, 0, nil

-- Removes what a deadline's entry says of an item, but for `kept`.
local function remove(entry, name, kept)
  -- The entry begins as the head does between its 29th and 60th byte.
  local head = string.rep('\0', 28) .. entry:sub(2, 33)
  redis.call('ZREM', index, unpack(entries_of(head, name, entry:sub(#name + 35), indexed, kept)))
end

for place = 3, #KEYS do
  local item, entry = KEYS[place], ARGV[place]
  local name = item:sub(#mark + 2)
  local size = struct.unpack('>I4', entry, 30)
  local old = redis.pcall('GETRANGE', item, 0, 255)
  local v1, v2, length, _
  if type(old) == 'string' and old ~= '' then
    v1, v2, _, _, _, _, _, _, _, _, _, _, length = limbs_of(old)
  end
  if not redis.call('ZSCORE', index, entry) then
    -- Another cleanup was here.
  elseif old == '' then
    -- The server has dropped the item by itself.
    remove(entry, name, {})
    expired, bytes = expired + 1, bytes + size
  elseif not v1 then
    -- What cannot be read may be live: it stays until it is deleted or replaced by name.
  elseif old:sub(29, 60) == entry:sub(2, 33) then
    remove(entry, name, {})
    redis.call('UNLINK', item)
    expired, bytes = expired + 1, bytes + size
    if not version or above(v1, v2, struct.unpack('>I4I4', version)) then version = old:sub(5, 12) end
  else
    -- The item was saved again after the server had dropped it: its own entries stay.
    local kept = {}
    for _, own in ipairs(entries_of(old, name, meta_of(item, old, length), indexed, {})) do kept[own] = true end
    remove(entry, name, kept)
    orphans = orphans + 1
  end
end
if version then
  local v1, v2 = struct.unpack('>I4I4', version)
  if not highest or above(v1, v2, struct.unpack('>I4I4', highest)) then redis.call('SET', mark, version) end
end
-- A small index is written anew: the server keeps the room of a large one for entries to come. Without memory to do so it
-- stays as it is.
if redis.call('ZCARD', index) <= 100 then redis.pcall('ZUNIONSTORE', index, 1, index) end
return {expired, bytes, orphans}
