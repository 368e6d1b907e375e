-- Returns where logs end. Keys: for each topic, position and stream. Arguments: run, time for which a position is kept in ms.
-- Answer: for each, epoch and offset.
local ends = {}
for place = 1, #KEYS, 2 do
  local epoch, offset = stand(KEYS[place], KEYS[place + 1], ARGV[1], ARGV[2])
  redis.call('PEXPIRE', KEYS[place], ARGV[2])
  table.insert(ends, {epoch, offset})
end
return ends
