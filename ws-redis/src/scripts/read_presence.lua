-- Lists what the nodes with leases have stored about a topic.
-- Keys: leases. Arguments: what the keys of nodes begin with, the field of the topic. Answer: for each node id and value.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local nodes = redis.call('ZRANGEBYSCORE', KEYS[1], string.format('(%d', now), '+inf')
local stored = {}
for _, node in ipairs(nodes) do
  local value = redis.call('HGET', ARGV[1] .. node, ARGV[2])
  if value then
    table.insert(stored, {node, value})
  end
end
return stored
