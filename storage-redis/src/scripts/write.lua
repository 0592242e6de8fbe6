-- Writes what a save has come to, if its entries are known.
if fresh then
  if from <= #fresh then call('ZADD', index, unpack(fresh, from)) end
  if lifetime == '' then
    call('SET', item, record)
  else
    call('SET', item, record, 'PX', lifetime)
    call('SET', mark, version:sub(5))
  end
  if stale and #stale > 0 then call('ZREM', index, unpack(stale)) end
  if not live and version == ARGV[1] then return 0 end
  return record:sub(5, 52)
end
