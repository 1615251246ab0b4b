-- Take a role over: a new epoch, unless another owner still holds it. A lease that ends later than any can was given
-- before the clock stepped back: it is made one that begins now, which its owner, if he lives, extends as ever.
-- KEYS[1] session hash of the role   KEYS[2] meta: epoch and top, below which none may be since a Redis was rebuilt
-- ARGV[1] owner   ARGV[2] lease in ms
-- REPLY   {1, epoch, until_ms, now_ms, highest message id, epoch, last sequence number and answer before,
--         owner before or '' when the role was given up} or
--         {0, owner, until_ms, now_ms}
local clock = redis.call('TIME')
local now_ms = tonumber(clock[1]) * 1000 + math.floor(tonumber(clock[2]) / 1000)
local held = redis.call('HMGET', KEYS[1], 'owner', 'until', 'epoch', 'seq', 'answer')
local least = redis.call('HMGET', KEYS[2], 'epoch', 'top')
if held[1] and held[1] ~= ARGV[1] and tonumber(held[2]) > now_ms then
  if tonumber(held[2]) > now_ms + tonumber(ARGV[2]) then
    held[2] = string.format('%.0f', now_ms + tonumber(ARGV[2]))
    redis.call('HSET', KEYS[1], 'until', held[2])
  end
  return {0, held[1], held[2], string.format('%.0f', now_ms)}
end
-- Ids are compared as strings of digits: they are longer than a number of Lua is exact.
local top = least[2] or '0'
local fields = redis.call('HGETALL', KEYS[1])
for i = 1, #fields, 2 do
  local id = fields[i + 1]
  if string.sub(fields[i], 1, 3) == 'top' and (#id > #top or (#id == #top and id > top)) then top = id end
end
local epoch = string.format('%.0f', math.max(tonumber(held[3] or '0'), tonumber(least[1] or '0')) + 1)
local till = string.format('%.0f', now_ms + tonumber(ARGV[2]))
redis.call('HSET', KEYS[1], 'owner', ARGV[1], 'until', till, 'epoch', epoch, 'seq', '0', 'answer', '')
return {1, epoch, till, string.format('%.0f', now_ms), top, held[3] or '0', held[4] or '0',
  held[5] and held[5] ~= '' and cmsgpack.unpack(held[5]) or {}, held[1] or ''}
