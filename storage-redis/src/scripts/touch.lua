-- Gives a live item another deadline. KEYS: item, mark, index. ARGV: the time; the version to take unless a higher one was
-- given; the deadline; milliseconds until the server may drop the item, or nothing; whether everything is indexed.
--
-- Answers the new head with the metadata, 0 if no live item is there, else why it was refused.
local item, mark, index, updated = KEYS[1], KEYS[2], KEYS[3], ARGV[1]
local old = redis.pcall('GETRANGE', item, 0, 255)
if type(old) == 'table' then return {'type'} end
if old == '' then return 0 end
local w1, w2, i1, i2, i3, i4, e1, e2, c1, c2, _, _, length, size, m1, m2, p1, p2 = limbs_of(old)
if not w1 then return {'damaged'} end
local n1, n2 = struct.unpack('>I4I4', updated)
if not above(e1, e2, n1, n2) then return 0 end
local highest = redis.call('GET', mark)
if highest and #highest ~= 8 then return {'mark'} end

local v1, v2 = struct.unpack('>I4I4', ARGV[2])
v1, v2 = version_after(v1, v2, w1, w2)
if highest then v1, v2 = version_after(v1, v2, struct.unpack('>I4I4', highest)) end
if above(c1, c2, n1, n2) then updated = old:sub(37, 44) end
local f1, f2 = struct.unpack('>I4I4', ARGV[3])
local u1, u2 = struct.unpack('>I4I4', updated)
local h1, h2 = check(v1, v2, i1, i2, i3, i4, f1, f2, c1, c2, u1, u2, length, size, m1, m2, p1, p2)
local head = old:sub(1, 4) .. struct.pack('>I4I4', v1, v2) .. old:sub(13, 28) .. ARGV[3] .. old:sub(37, 44) .. updated
  .. old:sub(53, 76) .. struct.pack('>I4I4', h1, h2)

local name, meta = item:sub(#mark + 2), meta_of(item, old, length)
local kind, key = parts(name)
local fresh, stale = {}, {}
local function move(before, after)
  if before ~= after then
    if before then stale[#stale + 1] = before end
    if after then
      fresh[#fresh + 1] = '0'
      fresh[#fresh + 1] = after
    end
  end
end
if ARGV[5] == '1' then move('u' .. kind .. old:sub(45, 52) .. key, 'u' .. kind .. updated .. key) end
move(e1 ~= 4294967295 and deadline_entry(old, name, meta), f1 ~= 4294967295 and deadline_entry(head, name, meta))
if #fresh > 0 then redis.call('ZADD', index, unpack(fresh)) end
redis.call('SETRANGE', item, 0, head)
if ARGV[4] ~= '' then
  redis.call('PEXPIRE', item, ARGV[4])
elseif e1 ~= 4294967295 then
  redis.call('PERSIST', item)
end
if f1 ~= 4294967295 then redis.call('SET', mark, head:sub(5, 12)) end
if #stale > 0 then redis.call('ZREM', index, unpack(stale)) end
return head .. meta
