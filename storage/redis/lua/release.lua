-- Move blobs that PostgreSQL has got from where they waited for it to their queues. Idempotent, no session: an entry that
-- another process has moved is left alone.
-- KEYS[1] strict   then the queue stream and the ready set of each entry
-- ARGV[1] bell channel   then (id of the entry, upstream) each
-- REPLY   how many entries were moved
local moved = 0
for i = 1, (#ARGV - 1) / 2 do
  local id, queue = ARGV[2 * i], KEYS[2 * i]
  local held = redis.call('XRANGE', KEYS[1], id, id)[1]
  if held then
    local fields = held[2]
    redis.call('XADD', queue, '*', 'b', fields[#fields])
    redis.call('SADD', KEYS[2 * i + 1], queue)
    redis.call('XDEL', KEYS[1], id)
    redis.call('PUBLISH', ARGV[1], 'q:' .. ARGV[2 * i + 1])
    moved = moved + 1
  end
end
if moved > 0 and redis.call('XLEN', KEYS[1]) == 0 then redis.call('DEL', KEYS[1]) end
return moved
