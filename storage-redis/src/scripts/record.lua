-- What the scripts know of a record beside the limbs of its head.

-- The check of a head: a sum of products that stays below 2^53, so that it is exact in a double.
local function check(v1, v2, i1, i2, i3, i4, e1, e2, c1, c2, u1, u2, ml, sz, m1, m2, p1, p2)
  local sum = MAGIC * 69677 + v1 * 66533 + v2 * 92959 + i1 * 66067 + i2 * 75013 + i3 * 70163 + i4 * 101141
    + e1 * 67447 + e2 * 81761 + c1 * 113363 + c2 * 76777 + u1 * 68813 + u2 * 89977 + ml * 91237 + sz * 113537
    + m1 * 78157 + m2 * 89983 + p1 * 99721 + p2 * 96431
  local high = math.floor(sum / 4294967296)
  return high, sum - high * 4294967296
end

-- Whether one pair of limbs is above another.
local function above(a1, a2, b1, b2)
  return a1 > b1 or (a1 == b1 and a2 > b2)
end

-- The higher of a version and the one behind `m1, m2`.
local function version_after(v1, v2, m1, m2)
  if above(v1, v2, m1, m2) then return v1, v2 end
  m2 = m2 + 1
  if m2 == 4294967296 then return m1 + 1, 0 end
  return m1, m2
end

-- The metadata behind a head, of which `read` holds the first bytes of the record.
local function meta_of(item, read, length)
  if #read >= HEAD + length then return read:sub(HEAD + 1, HEAD + length) end
  return redis.call('GETRANGE', item, HEAD, HEAD + length - 1)
end

-- Content type and key out of the name of an item.
local function parts(name)
  local zero = name:find('\0', 1, true)
  return name:sub(1, zero), name:sub(zero + 1)
end

-- Adds the index entries of the tags in `meta` to `list`, but for those in `kept`.
local function add_tags(list, kind, key, meta, kept)
  local at = 2
  for _ = 1, meta:byte(1) do
    local tag, value
    tag, value, at = struct.unpack('>Bc0I2c0', meta, at)
    local entry = 't' .. kind .. tag .. '\0' .. value .. '\0' .. key
    if not kept[entry] then list[#list + 1] = entry end
  end
end

-- The index entry of a deadline: the parts of the head and all that is needed to find the other entries of the item.
local function deadline_entry(head, name, meta)
  return 'e' .. head:sub(29, 60) .. name .. '\0' .. meta
end

-- The stored head in `old` as its limbs, without magic and check; nothing if it is damaged.
local function limbs_of(old)
  if #old < HEAD then return nil end
  local m, v1, v2, i1, i2, i3, i4, e1, e2, c1, c2, u1, u2, ml, sz, m1, m2, p1, p2, k1, k2 =
    struct.unpack(LIMBS, old)
  local h1, h2 = check(v1, v2, i1, i2, i3, i4, e1, e2, c1, c2, u1, u2, ml, sz, m1, m2, p1, p2)
  if m ~= MAGIC or h1 ~= k1 or h2 ~= k2 then return nil end
  return v1, v2, i1, i2, i3, i4, e1, e2, c1, c2, u1, u2, ml, sz, m1, m2, p1, p2
end

-- Every index entry of an item but those in `kept`: a table.
local function entries_of(head, name, meta, indexed, kept)
  local list = {}
  local function add(entry)
    if not kept[entry] then list[#list + 1] = entry end
  end
  if indexed then
    local kind, key = parts(name)
    add('k' .. name)
    add('c' .. kind .. head:sub(37, 44) .. key)
    add('u' .. kind .. head:sub(45, 52) .. key)
    add_tags(list, kind, key, meta, kept)
  end
  if head:byte(29) ~= 255 then add(deadline_entry(head, name, meta)) end
  return list
end
