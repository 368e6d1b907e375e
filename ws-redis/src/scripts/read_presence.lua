-- Lists what the nodes with leases have stored about a topic.
-- Keys: leases, nodes. Arguments: what the keys of nodes begin with, the field of the topic, the node that asks, the time of a
-- lease and the time that a node needs to store what it has, both in ms. Answer: whether it can be all, and for each node id
-- and value.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local begin = tonumber(redis.call('HGET', KEYS[2], 'begin') or now)
local is_complete = now - begin >= tonumber(ARGV[4])
local nodes = redis.call('ZRANGEBYSCORE', KEYS[1], string.format('(%d', now), '+inf')
local stored, is_known = {}, false
for _, node in ipairs(nodes) do
  local found = redis.call('HMGET', ARGV[1] .. node, ARGV[2], '.')
  is_known = is_known or node == ARGV[3]
  local since = tonumber(found[2] or '')
  is_complete = is_complete and since and now - since >= tonumber(ARGV[5])
  if found[1] then
    table.insert(stored, {node, found[1]})
  end
end
return {(is_complete and is_known) and 1 or 0, stored}
