-- Find what receipts speak of; park durably those whose submit_sm_resp has not come. Idempotent, no session.
-- KEYS[1] park   KEYS[2] times of parking   KEYS[3..] corr of this hour and of hours before, newest first
-- ARGV[1] now_ms   ARGV[2] most ids that may be parked   ARGV[3] number of receipts   then (canonical id, ParkedReceipt)
-- REPLY   {SentContext or '' for each}; '' means parked. -PARKFULL when there is no room.
local count = tonumber(ARGV[3])
local found, open = {}, {}
for i = 1, count do open[i] = i end
for k = 3, #KEYS do
  if #open == 0 then break end
  if redis.call('EXISTS', KEYS[k]) == 1 then
    local missing = {}
    for first = 1, #open, 1000 do
      local ids = {}
      for i = first, math.min(first + 999, #open) do ids[#ids + 1] = ARGV[2 + 2 * open[i]] end
      local hit = redis.call('HMGET', KEYS[k], unpack(ids))
      for i = 1, #ids do
        local index = open[first + i - 1]
        if hit[i] then found[index] = hit[i] else missing[#missing + 1] = index end
      end
    end
    open = missing
  end
end
for i = 1, count do
  if found[i] == '!' then
    found[i] = nil
    open[#open + 1] = i
  end
end
if #open > 0 then
  if redis.call('ZCARD', KEYS[2]) + #open > tonumber(ARGV[2]) then
    return redis.error_reply('PARKFULL')
  end
  for i = 1, #open do
    local id, receipt = ARGV[2 + 2 * open[i]], ARGV[3 + 2 * open[i]]
    local held = redis.call('HGET', KEYS[1], id) or ''
    local sized = struct.pack('>I4', #receipt) .. receipt
    if #held < 16384 and not string.find(held, sized, 1, true) then
      redis.call('HSET', KEYS[1], id, held .. sized)
      redis.call('ZADD', KEYS[2], 'NX', ARGV[1], id)
    end
  end
end
local answer = {}
for i = 1, count do answer[i] = found[i] or '' end
return answer
