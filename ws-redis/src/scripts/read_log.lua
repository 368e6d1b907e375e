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
  local found = redis.call('XRANGE', KEYS[2], after .. '-18446744073709551615', '+', 'COUNT', ARGV[5])
  local len = 0
  for place, it in ipairs(found) do
    local entry = entry_of(it)
    len = len + #entry
    if place > 1 and len > tonumber(ARGV[6]) then
      break
    end
    local its_offset = offset_of(it)
    table.insert(entries, {its_offset, entry})
  end
end
return {epoch, offset, entries}
