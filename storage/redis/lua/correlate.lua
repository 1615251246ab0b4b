-- Remember accepted segments by the upstream's id; hand back the receipts that came first. Idempotent, no session.
-- KEYS[1] corr of this hour   KEYS[2] corr of the hour before   KEYS[3] park
-- ARGV[1] seconds to keep   ARGV[2] number of ids   then (canonical id, SentContext) each
-- REPLY   {index, parked receipts, index, parked receipts, ...} for those that were parked and are not ambiguous
-- An id that another message already has becomes '!': ambiguous, so its receipts stay parked for the operator.
local count = tonumber(ARGV[2])
local ids, fields, answer = {}, {}, {}
for i = 0, count - 1 do ids[i + 1] = ARGV[3 + 2 * i] end
local before, seen, held = {}, {}, {}
for first = 1, count, 1000 do
  local last = math.min(first + 999, count)
  local now = redis.call('HMGET', KEYS[1], unpack(ids, first, last))
  local old = redis.call('HMGET', KEYS[2], unpack(ids, first, last))
  local parked = redis.call('HMGET', KEYS[3], unpack(ids, first, last))
  for i = 1, last - first + 1 do
    before[first + i - 1] = now[i] or old[i]
    if parked[i] then held[#held + 1] = {first + i - 1, parked[i]} end
  end
end
for i = 1, count do
  local value = ARGV[2 + 2 * i]
  local known = before[i] or seen[ids[i]]
  if known and known ~= value then value = '!' end
  seen[ids[i]] = value
  fields[2 * i - 1] = ids[i]
  fields[2 * i] = value
end
for first = 1, #fields, 1000 do
  redis.call('HSET', KEYS[1], unpack(fields, first, math.min(first + 999, #fields)))
end
for _, one in ipairs(held) do
  if seen[ids[one[1]]] ~= '!' then
    answer[#answer + 1] = one[1] - 1
    answer[#answer + 1] = one[2]
  end
end
redis.call('EXPIRE', KEYS[1], ARGV[1])
return answer
