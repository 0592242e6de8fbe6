-- The entries of a save over an item that has other tags, has expired or is damaged.
local name, indexed = item:sub(#mark + 2), ARGV[11] ~= ''
fresh, stale = {unpack(ARGV, FIRST)}, {}
if live then
  if indexed then
    local kind, key = parts(name)
    fresh[4] = 'c' .. kind .. created .. key
    fresh[6] = 'u' .. kind .. now:sub(1, 8) .. key
  end
  if lifetime ~= '' then fresh[#fresh] = deadline_entry(record, name, meta) end
end
if kept then
  local stays = {}
  for place = 2, #fresh, 2 do stays[fresh[place]] = true end
  stale = entries_of(old, name, meta_of(item, old, ml), indexed, stays)
end
