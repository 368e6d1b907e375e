-- Stores values under the lease of a node.
-- Keys: leases, what this node stored. Arguments: node, time in ms, version, then for each topic its field and the value; an
-- empty value removes the field. Answer: whether the node has a lease; nothing is stored without.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local ends = redis.call('ZSCORE', KEYS[1], ARGV[1])
if not ends or tonumber(ends) <= now or redis.call('EXISTS', KEYS[2]) == 0 then
  return 0
end
local version = tonumber(redis.call('HGET', KEYS[2], '#') or '0')
if tonumber(ARGV[3]) <= version then
  -- It comes late, from a link that broke.
  return 1
end
redis.call('HSET', KEYS[2], '#', ARGV[3])
for place = 4, #ARGV, 2 do
  if ARGV[place + 1] == '' then
    redis.call('HDEL', KEYS[2], ARGV[place])
  else
    redis.call('HSET', KEYS[2], ARGV[place], ARGV[place + 1])
  end
end
redis.call('PEXPIRE', KEYS[2], ARGV[2])
return 1
