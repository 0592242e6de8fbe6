-- Saves an item. KEYS: item, mark, index. ARGV: the parts of the record as it shall be if nothing is stored: format and
-- version, id, deadline, from update to the last check before that of the head, metadata, payload; the condition (nothing,
-- `absent` or a version); milliseconds until the server may drop the item, or nothing; the check of the head; the same
-- without what id and creation add; what stands before the time in the entry by update, or nothing if only deadlines are
-- indexed; the key of the item; then pairs of a score and an entry: by key, by creation, by update, of each tag, and last of
-- the deadline, if there is one.
--
-- Answers 0 if the record was stored as it was sent, version to update of the stored head if not, else why it was refused.
-- The first write is one that a server without memory refuses, so that it refuses the whole.
--
-- Most saves are of a new item or leave the tags of an old one as they are. They are done without a function, because each
-- would be made anew at every run.
local FIRST = 13
local item, mark, index, call = KEYS[1], KEYS[2], KEYS[3], redis.call
local version, id, now, meta, condition, lifetime = ARGV[1], ARGV[2], ARGV[4], ARGV[5], ARGV[7], ARGV[8]
local old = redis.pcall('GETRANGE', item, 0, HEAD - 1 + #meta)
if type(old) == 'table' then return {'type'} end

-- What is known of a sound old item: its version, which is the highest one, and what its id and creation add to the check.
local h1, h2, kept, live
local m, w1, w2, i1, i2, i3, i4, e1, e2, c1, c2, u1, u2, ml, sz, m1, m2, p1, p2, k1, k2
local n1, n2
if #old >= HEAD then
  m, w1, w2, i1, i2, i3, i4, e1, e2, c1, c2, u1, u2, ml, sz, m1, m2, p1, p2, k1, k2 = struct.unpack(LIMBS, old)
  local part = i1 * 66067 + i2 * 75013 + i3 * 70163 + i4 * 101141 + c1 * 113363 + c2 * 76777
  local rest = m * 69677 + w1 * 66533 + w2 * 92959 + e1 * 67447 + e2 * 81761 + u1 * 68813 + u2 * 89977 + ml * 91237
    + sz * 113537 + m1 * 78157 + m2 * 89983 + p1 * 99721 + p2 * 96431
  if m == MAGIC and part + rest == k1 * 4294967296 + k2 then
    n1, n2 = struct.unpack('>I4I4', now)
    h1, h2, kept, live = w1, w2, part, e1 > n1 or e1 == n1 and e2 > n2
  end
end
if condition ~= '' then
  -- A damaged item can be replaced, but nothing can be said of its version or of its life.
  if old ~= '' and not kept then return {'damaged'} end
  if condition == 'absent' then
    if live then return {'exists', old:sub(5, 12)} end
  elseif not live then
    return {'gone'}
  elseif condition ~= old:sub(5, 12) then
    return {'conflict', old:sub(5, 12)}
  end
end

-- The mark holds versions of items that are gone, and takes that of every item that may vanish by itself.
if not live or lifetime ~= '' then
  local highest = call('GET', mark)
  if highest then
    if #highest ~= 8 then return {'mark'} end
    local g1, g2 = struct.unpack('>I4I4', highest)
    if not h1 or g1 > h1 or g1 == h1 and g2 > h2 then h1, h2 = g1, g2 end
  end
end
local created, check = now:sub(1, 8), ARGV[9]
if h1 then
  local v1, v2 = struct.unpack('>I4I4', version, 5)
  local sum
  if live then
    id, created, sum = old:sub(13, 28), old:sub(37, 44), ARGV[10] + kept
    if c1 > n1 or c1 == n1 and c2 > n2 then
      -- The clock was set back.
      sum = sum + (c1 - n1) * 68813 + (c2 - n2) * 89977
      now = created .. now:sub(9)
    end
  else
    local s1, s2 = struct.unpack('>I4I4', check)
    sum = s1 * 4294967296 + s2
  end
  if h1 > v1 or h1 == v1 and h2 >= v2 then
    h2 = h2 + 1
    if h2 == 4294967296 then h1, h2 = h1 + 1, 0 end
    sum = sum + (h1 - v1) * 66533 + (h2 - v2) * 92959
    version = version:sub(1, 4) .. struct.pack('>I4I4', h1, h2)
  end
  local low = sum % 4294967296
  check = struct.pack('>I4I4', (sum - low) / 4294967296, low)
end
local record = version .. id .. ARGV[3] .. created .. now .. check .. meta .. ARGV[6]

-- Entries to be added, each behind a score, in `fresh` at `from` and behind, and entries to be removed.
local fresh, from, stale = nil, 1, nil
if live and ml == #meta and old:sub(HEAD + 1) == meta then
  local before, key = ARGV[11], ARGV[12]
  fresh, stale = {}, {}
  if before ~= '' then
    local entry, gone = before .. now:sub(1, 8) .. key, before .. old:sub(45, 52) .. key
    if entry ~= gone then fresh[1], fresh[2], stale[1] = '0', entry, gone end
  end
  if lifetime ~= '' or e1 ~= 4294967295 then
    local rest, entry = item:sub(#mark + 2) .. '\0' .. meta
    if lifetime ~= '' then
      entry = 'e' .. record:sub(29, 60) .. rest
      fresh[#fresh + 1] = '0'
      fresh[#fresh + 1] = entry
    end
    if e1 ~= 4294967295 then
      local gone = 'e' .. old:sub(29, 60) .. rest
      if gone ~= entry then stale[#stale + 1] = gone end
    end
  end
elseif old == '' then
  fresh, from = ARGV, FIRST
end
