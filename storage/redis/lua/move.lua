-- Move messages that were never sent from an upstream's queues to another upstream's, all of them or none.
-- include: _session _lists
-- KEYS[1] session   KEYS[2] journal   KEYS[3] depth   KEYS[4] ready   KEYS[5] ready of the other upstream
--         then every other key, named below by its number in KEYS
-- ARGV[3] upstream   ARGV[4] the other   ARGV[5] most messages that may wait for the other   ARGV[6] how many are moved
-- ARGV[7] bell channel   ARGV[8] journal blob of the MessageRecords as they are now
--         then lists, each led by its length:
--         settled (open key, field), finished (queue, open key, entry id), added (queue of the other, blob)
-- REPLY   {'1', room that is left, journal id}, or {'0', room that there is} when nothing was done
local list = lists(9)
local settled, settled_at = list(2)
local finished, finished_at = list(3)
local added, added_at = list(2)

local count = tonumber(ARGV[6])
local room = tonumber(ARGV[5]) - tonumber(redis.call('HGET', KEYS[3], ARGV[4]) or '0')
if room < count then return finish({'0', whole(math.max(room, 0))}) end

local journal_id = redis.call('XADD', KEYS[2], '*', 'k', 'P', 'b', ARGV[8], 'e', ARGV[3])
for i = 0, added - 1 do
  local queue = KEYS[tonumber(ARGV[added_at + 2 * i])]
  redis.call('XADD', queue, '*', 'b', ARGV[added_at + 2 * i + 1])
  redis.call('SADD', KEYS[5], queue)
end
for i = 0, settled - 1 do
  redis.call('HSET', KEYS[tonumber(ARGV[settled_at + 2 * i])], ARGV[settled_at + 2 * i + 1], 'd')
end
for i = 0, finished - 1 do
  local at = finished_at + 3 * i
  local queue = KEYS[tonumber(ARGV[at])]
  redis.call('XDEL', queue, ARGV[at + 2])
  redis.call('UNLINK', KEYS[tonumber(ARGV[at + 1])])
  if redis.call('XLEN', queue) == 0 then
    redis.call('DEL', queue)
    redis.call('SREM', KEYS[4], queue)
  end
end
redis.call('HINCRBY', KEYS[3], ARGV[3], -count)
redis.call('HINCRBY', KEYS[3], ARGV[4], count)
redis.call('PUBLISH', ARGV[7], 'q:' .. ARGV[4])
return finish({'1', whole(room - count), journal_id})
