-- Extend the leases of many roles at once; a lease of 0 ms gives them up, and leaves them without an owner.
-- KEYS[i] session hash of role i
-- ARGV[1] lease in ms   ARGV[1+i] epoch of role i
-- REPLY   {1 or 0 for each role: 1 when it is still ours, then now_ms}
local clock = redis.call('TIME')
local now_ms = tonumber(clock[1]) * 1000 + math.floor(tonumber(clock[2]) / 1000)
local till = string.format('%.0f', now_ms + tonumber(ARGV[1]))
local kept = {}
for i = 1, #KEYS do
  if redis.call('HGET', KEYS[i], 'epoch') == ARGV[1 + i] then
    redis.call('HSET', KEYS[i], 'until', till)
    if ARGV[1] == '0' then redis.call('HDEL', KEYS[i], 'owner') end
    kept[i] = 1
  else
    kept[i] = 0
  end
end
kept[#KEYS + 1] = string.format('%.0f', now_ms)
return kept
