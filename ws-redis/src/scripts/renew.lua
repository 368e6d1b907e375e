-- Renews the lease of a node, forgets those that have ended, and lists the others.
-- Keys: leases (sorted set: node, end), nodes (hash: node, description), what this node stored (hash).
-- Arguments: node, time in ms, description, the time for which keys without a node are kept in ms.
-- Answer: whether what the node stored is there, the age of the leases in ms, and for each node id, description, ms left.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local begin = redis.call('HGET', KEYS[2], 'begin')
if not begin or redis.call('EXISTS', KEYS[1]) == 0 then
  -- It knows no other node, as at its start; those that live come back within the time of a lease.
  begin = now
  redis.call('HSET', KEYS[2], 'begin', string.format('%d', begin))
end
local ended = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', string.format('%d', now))
for _, node in ipairs(ended) do
  redis.call('ZREM', KEYS[1], node)
  redis.call('HDEL', KEYS[2], node)
end
-- The clock can have been set back, or be that of another engine.
local latest = string.format('%d', now + ARGV[2])
for _, node in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '(' .. latest, '+inf')) do
  redis.call('ZADD', KEYS[1], latest, node)
end
local had_lease = redis.call('ZSCORE', KEYS[1], ARGV[1])
redis.call('ZADD', KEYS[1], string.format('%d', now + ARGV[2]), ARGV[1])
redis.call('HSET', KEYS[2], ARGV[1], ARGV[3])
redis.call('PEXPIRE', KEYS[1], ARGV[4])
redis.call('PEXPIRE', KEYS[2], ARGV[4])
local had_values = redis.call('PEXPIRE', KEYS[3], ARGV[2])
if had_values == 0 then
  -- The key is there even if nothing is stored, so that its loss is seen.
  redis.call('HSET', KEYS[3], '.', string.format('%d', now))
  redis.call('PEXPIRE', KEYS[3], ARGV[2])
end
local nodes = {}
local leased = redis.call('ZRANGE', KEYS[1], 0, -1, 'WITHSCORES')
for place = 1, #leased, 2 do
  local description = redis.call('HGET', KEYS[2], leased[place]) or ''
  table.insert(nodes, {leased[place], description, leased[place + 1] - now})
end
return {(had_lease and had_values == 1) and 1 or 0, now - begin, nodes}
