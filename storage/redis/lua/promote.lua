-- Move retries that are due back into their queues.
-- include: _session _records
-- KEYS[1] session   KEYS[2] later   KEYS[3] ready   KEYS[3+i] queue i
-- ARGV[3] number of members   then for each: number of its queue, the member, its record
-- REPLY   {how many were moved}
local count = tonumber(ARGV[3])
local records, moved = {}, 0
for i = 0, count - 1 do
  local at = 4 + 3 * i
  if redis.call('ZREM', KEYS[2], ARGV[at + 1]) == 1 then
    local queue = KEYS[3 + tonumber(ARGV[at])]
    records[queue] = records[queue] or {''}
    local batch = records[queue]
    batch[#batch + 1] = ARGV[at + 2]
    moved = moved + 1
  end
end
for queue, batch in pairs(records) do
  batch[1] = array_header(#batch - 1)
  redis.call('XADD', queue, '*', 'b', table.concat(batch))
  redis.call('SADD', KEYS[3], queue)
end
return finish({whole(moved)})
