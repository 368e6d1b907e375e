-- Appends an entry to the log of a topic, and publishes it with its place.
-- Keys: position, stream. Arguments: run, time for which the position is kept in ms, channel, head, entry, entries to keep,
-- age in ms, and how long ago in ms the same was asked on a link that broke, or nothing.
-- Answer: epoch and offset; nothing if it cannot tell whether the entry was appended before.
local key = string.sub(ARGV[5], 1, 16)
local retried = 'r:' .. key
local epoch, offset, fresh, done = stand(KEYS[1], KEYS[2], ARGV[1], ARGV[2], retried)
if done then
  -- It was asked again before this one was read.
  return {epoch, tonumber(done)}
end

if ARGV[8] ~= '' then
  local since = now - tonumber(ARGV[8]) - 1000
  local last, is_old = '+', false
  repeat
    local chunk = redis.call('XREVRANGE', KEYS[2], last, '-', 'COUNT', 100)
    for _, found in ipairs(chunk) do
      local its_offset, its_time = offset_of(found)
      if string.sub(entry_of(found), 1, 16) == key then
        return {epoch, its_offset}
      end
      is_old = its_time < since or its_offset == 1
      last = string.format('%.0f', its_offset - 1) .. '-18446744073709551615'
      if is_old then
        break
      end
    end
  until is_old or #chunk == 0
  if not is_old and offset > 0 then
    -- Entries of that time are gone.
    return {}
  end
  -- The first question can still be read behind this one.
  if redis.call('HINCRBY', KEYS[1], 'retries', 1) > 1000 then
    for _, field in ipairs(redis.call('HKEYS', KEYS[1])) do
      if string.sub(field, 1, 2) == 'r:' then
        redis.call('HDEL', KEYS[1], field)
      end
    end
    redis.call('HSET', KEYS[1], 'retries', '1')
  end
  redis.call('HSET', KEYS[1], retried, string.format('%.0f', offset + 1))
end

offset = offset + 1
local number = string.format('%.0f', offset)
redis.call('XADD', KEYS[2], 'MAXLEN', '~', ARGV[6], number .. '-' .. string.format('%.0f', now), 'e', ARGV[5])
if now >= fresh then
  local age = tonumber(ARGV[7])
  redis.call('HSET', KEYS[1], 'offset', number, 'fresh', string.format('%.0f', now + age))
  redis.call('PEXPIRE', KEYS[2], string.format('%.0f', 2 * age))
  redis.call('PEXPIRE', KEYS[1], ARGV[2])
else
  redis.call('HSET', KEYS[1], 'offset', number)
end
-- It is in the log by now. Who does not get it reads it there.
redis.pcall('PUBLISH', ARGV[3], ARGV[4] .. struct.pack('<I8I8', offset, epoch) .. ARGV[5])
return {epoch, offset}
