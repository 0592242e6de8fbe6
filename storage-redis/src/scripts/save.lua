-- Saves an item. KEYS: item, mark, index. ARGV: the record as it shall be if nothing is stored; the condition (nothing,
-- `absent` or a version); milliseconds until the server may drop the item, or nothing; length of the metadata; length of
-- what stands before the time in entries by time; whether everything is indexed; then pairs of a score and an entry: by
-- key, by creation, by update, of each tag, and last of the deadline, if there is one.
--
-- Answers 0 if the record was stored as it was sent, version to update of the stored head if not, else why it was refused.
-- The first write is one that a server without memory refuses, so that it refuses the whole.
local item, mark, index, record = KEYS[1], KEYS[2], KEYS[3], ARGV[1]
local FIRST = 7
local old = redis.pcall('GETRANGE', item, 0, HEAD - 1 + ARGV[4])
if type(old) == 'table' then return {'type'} end
local highest = redis.call('GET', mark)
local v1, v2 = struct.unpack('>I4I4', record, 5)
local o1, o2 = v1, v2
if highest then
  if #highest ~= 8 then return {'mark'} end
  v1, v2 = version_after(v1, v2, struct.unpack('>I4I4', highest))
end

local indexed, has_deadline = ARGV[6] == '1', record:byte(29) ~= 255
local stale, from, live, last = nil, FIRST, false, #ARGV
if old == '' then
  if ARGV[2] ~= '' and ARGV[2] ~= 'absent' then return {'gone'} end
else
  local m, w1, w2, i1, i2, i3, i4, e1, e2, c1, c2, u1, u2, ml, sz, m1, m2, p1, p2, k1, k2
  if #old >= HEAD then
    m, w1, w2, i1, i2, i3, i4, e1, e2, c1, c2, u1, u2, ml, sz, m1, m2, p1, p2, k1, k2 = struct.unpack(LIMBS, old)
    local h1, h2 = check(w1, w2, i1, i2, i3, i4, e1, e2, c1, c2, u1, u2, ml, sz, m1, m2, p1, p2)
    if m ~= MAGIC or h1 ~= k1 or h2 ~= k2 then m = nil end
  end
  if not m then
    -- A damaged item can be replaced, but nothing can be said of its version or of its life.
    if ARGV[2] ~= '' then return {'damaged'} end
  else
    local _, _, _, _, _, _, _, f1, f2, n1, n2, _, _, l2, s2, a1, a2, b1, b2 = struct.unpack(LIMBS, record)
    live = above(e1, e2, n1, n2)
    if live then
      if ARGV[2] == 'absent' then return {'exists', old:sub(5, 12)} end
      if ARGV[2] ~= '' and ARGV[2] ~= old:sub(5, 12) then return {'conflict', old:sub(5, 12)} end
    elseif ARGV[2] ~= '' and ARGV[2] ~= 'absent' then
      return {'gone'}
    end
    v1, v2 = version_after(v1, v2, w1, w2)

    local name = item:sub(#mark + 2)
    local kind, key = parts(name)
    local meta, new_meta = meta_of(item, old, ml), record:sub(HEAD + 1, HEAD + ARGV[4])
    local created, updated = record:sub(37, 44), record:sub(45, 52)
    if live then
      created = old:sub(37, 44)
      if above(c1, c2, n1, n2) then updated = created end
      i1, i2, i3, i4 = struct.unpack('>I4I4I4I4', old, 13)
      n1, n2 = struct.unpack('>I4I4', updated)
      local h1, h2 = check(v1, v2, i1, i2, i3, i4, f1, f2, c1, c2, n1, n2, l2, s2, a1, a2, b1, b2)
      record = record:sub(1, 4) .. struct.pack('>I4I4', v1, v2) .. old:sub(13, 28) .. record:sub(29, 36)
        .. created .. updated .. record:sub(53, 76) .. struct.pack('>I4I4', h1, h2) .. record:sub(HEAD + 1)
      o1, o2 = v1, v2
    end

    stale = {}
    if indexed then
      local at = ARGV[5] + 0
      if live then
        -- The entries by key and by creation are there already, and so are those of unchanged tags.
        from = FIRST + 4
        ARGV[from + 1] = ARGV[from + 1]:sub(1, at) .. updated .. key
      elseif old:sub(37, 44) ~= created then
        stale[1] = 'c' .. kind .. old:sub(37, 44) .. key
      end
      if old:sub(45, 52) ~= updated then stale[#stale + 1] = 'u' .. kind .. old:sub(45, 52) .. key end
      if meta ~= new_meta then
        local kept = {}
        for place = FIRST + 7, last, 2 do kept[ARGV[place]] = true end
        add_tags(stale, kind, key, meta, kept)
      end
    end
    local entry
    if has_deadline and live then
      entry = deadline_entry(record, name, new_meta)
      ARGV[last] = entry
    end
    if e1 ~= 4294967295 then
      local gone = deadline_entry(old, name, meta)
      if gone ~= (entry or (has_deadline and ARGV[last])) then stale[#stale + 1] = gone end
    end
    if live and indexed and meta == new_meta then
      -- Only the entry by update moves, and that of the deadline.
      if has_deadline then
        redis.call('ZADD', index, '0', ARGV[from + 1], '0', entry)
      else
        redis.call('ZADD', index, '0', ARGV[from + 1])
      end
      from = last + 1
    end
  end
end

if not live and (v1 ~= o1 or v2 ~= o2) then
  local _, _, _, i1, i2, i3, i4, f1, f2, c1, c2, u1, u2, l2, s2, a1, a2, b1, b2 = struct.unpack(LIMBS, record)
  local h1, h2 = check(v1, v2, i1, i2, i3, i4, f1, f2, c1, c2, u1, u2, l2, s2, a1, a2, b1, b2)
  record = record:sub(1, 4) .. struct.pack('>I4I4', v1, v2) .. record:sub(13, 76) .. struct.pack('>I4I4', h1, h2)
    .. record:sub(HEAD + 1)
end
if from <= last then redis.call('ZADD', index, unpack(ARGV, from)) end
if ARGV[3] == '' then
  redis.call('SET', item, record)
else
  redis.call('SET', item, record, 'PX', ARGV[3])
end
-- An item with a deadline may vanish by itself, and its version with it.
if has_deadline then redis.call('SET', mark, record:sub(5, 12)) end
if stale and #stale > 0 then redis.call('ZREM', index, unpack(stale)) end
if record == ARGV[1] then return 0 end
return record:sub(5, 52)
