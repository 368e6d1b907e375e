-- What every script about logs begins with. The position of a log is in a hash: epoch, offset, the run of the engine that
-- counted so, and until when (ms) the times of the keys need not be set again. Entries are in a stream, with ids
-- `offset-ms`.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

-- Returns where the log stands. Another run of the engine, or a replica in its place, may have lost entries, so the log
-- begins a new epoch.
local function stand(meta, stream, run, kept, retried)
  local known = redis.call('HMGET', meta, 'epoch', 'offset', 'run', 'fresh', retried or '')
  local last, offset = tonumber(known[1] or ''), tonumber(known[2] or '')
  if last and offset and known[3] == run then
    return last, offset, tonumber(known[4] or '') or 0, known[5]
  end
  local epoch = time[1] * 1000000 + time[2]
  if last and last >= epoch then
    epoch = last + 1
  end
  redis.call('DEL', meta, stream)
  redis.call('HSET', meta, 'epoch', string.format('%.0f', epoch), 'offset', '0', 'run', run)
  redis.call('PEXPIRE', meta, kept)
  return epoch, 0, 0, false
end

local function entry_of(found)
  local fields = found[2]
  for place = 1, #fields, 2 do
    if fields[place] == 'e' then
      return fields[place + 1]
    end
  end
  return ''
end

local function offset_of(found)
  return tonumber(string.match(found[1], '^(%d+)%-')), tonumber(string.match(found[1], '%-(%d+)$'))
end
