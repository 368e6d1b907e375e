-- Reads a part of a log.
-- Keys: position, stream. Arguments: run, time for which the position is kept in ms, then nothing to read the end alone, or
-- epoch, offset, the most entries, the most bytes. Answer: epoch, offset, and offset and entry of each.
local epoch, offset = stand(KEYS[1], KEYS[2], ARGV[1], ARGV[2])
local entries = {}
if ARGV[3] then
  local after = '0'
  if tonumber(ARGV[3]) == epoch then
    after = ARGV[4]
  end
  local limit, max_len = tonumber(ARGV[5]), tonumber(ARGV[6])
  local len, count, is_full = 0, 4, false
  while #entries < limit and not is_full do
    -- No more than is likely to be returned, because all of it is copied here.
    count = math.min(count, limit - #entries)
    local found = redis.call('XRANGE', KEYS[2], after .. '-18446744073709551615', '+', 'COUNT', count)
    for _, it in ipairs(found) do
      local entry = entry_of(it)
      len = len + #entry
      is_full = #entries > 0 and len > max_len
      if is_full then
        break
      end
      local its_offset = offset_of(it)
      table.insert(entries, {its_offset, entry})
      after = string.format('%.0f', its_offset)
    end
    if #found < count then
      break
    end
    local average = math.max(1, len / #entries)
    count = math.max(1, math.floor((max_len - len) / average))
  end
end
return {epoch, offset, entries}
