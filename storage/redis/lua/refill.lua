-- Bring messages that waited in PostgreSQL alone to their queues, or to `later` when their time is still to come.
-- include: _session _records _lists
-- KEYS[1] session   KEYS[2] depth: by '\0' and the upstream how many wait in PostgreSQL alone   KEYS[3] overflow: by queue
--         how many of them are its tail, by '@' and the queue how many wait for their time
-- KEYS[4] refilled: ids of messages that are here, and whose rows may still be there   KEYS[5] ready   KEYS[6] later
--         then the queues
-- ARGV[3] upstream   ARGV[4] bell channel   then lists, each led by its length:
--         ids whose rows are gone; messages (number of the queue in KEYS, field in overflow, 8-byte id, due ms or '' to
--         queue it at once, its record, or the member of later)
-- REPLY   {how many were brought}
local list = lists(5)
local forgotten, forgotten_at = list(1)
local messages, messages_at = list(5)

for i = 0, forgotten - 1 do redis.call('SREM', KEYS[4], ARGV[forgotten_at + i]) end
local batches, brought, total = {}, {}, 0
for i = 0, messages - 1 do
  local at = messages_at + 5 * i
  if redis.call('SADD', KEYS[4], ARGV[at + 2]) == 1 then
    local queue, field, due = KEYS[tonumber(ARGV[at])], ARGV[at + 1], ARGV[at + 3]
    if due == '' then
      batches[queue] = batches[queue] or {''}
      local batch = batches[queue]
      batch[#batch + 1] = ARGV[at + 4]
    else
      redis.call('ZADD', KEYS[6], due, ARGV[at + 4])
    end
    brought[field] = (brought[field] or 0) + 1
    total = total + 1
  end
end
for queue, batch in pairs(batches) do
  batch[1] = array_header(#batch - 1)
  redis.call('XADD', queue, '*', 'b', table.concat(batch))
  redis.call('SADD', KEYS[5], queue)
end
for field, count in pairs(brought) do
  if redis.call('HINCRBY', KEYS[3], field, -count) <= 0 then redis.call('HDEL', KEYS[3], field) end
end
if total > 0 then
  if redis.call('HINCRBY', KEYS[2], '\0' .. ARGV[3], -total) <= 0 then redis.call('HDEL', KEYS[2], '\0' .. ARGV[3]) end
  redis.call('PUBLISH', ARGV[4], 'q:' .. ARGV[3])
end
return finish({whole(total)})
