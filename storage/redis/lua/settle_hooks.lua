-- Webhook attempts that have ended: journal the ends, keep what must be tried again, delete what is done.
-- include: _session _lists
-- KEYS[1] session   KEYS[2] journal   KEYS[3] hooks stream   KEYS[4] later set of the hooks
-- ARGV[3] journal blob of CallbackResults or ''
--         then lists, each led by its length: finished entry ids, later (due ms, member), members to delete from later
-- REPLY   {now_ms, journal id or ''}
local list = lists(4)
local finished, finished_at = list(1)
local later, later_at = list(2)
local promoted, promoted_at = list(1)
local journal_id = ''
if ARGV[3] ~= '' then
  journal_id = redis.call('XADD', KEYS[2], '*', 'k', 'C', 'b', ARGV[3])
end
for i = 0, promoted - 1 do redis.call('ZREM', KEYS[4], ARGV[promoted_at + i]) end
for i = 0, later - 1 do redis.call('ZADD', KEYS[4], ARGV[later_at + 2 * i], ARGV[later_at + 2 * i + 1]) end
for i = 0, finished - 1 do redis.call('XDEL', KEYS[3], ARGV[finished_at + i]) end
if finished > 0 and redis.call('XLEN', KEYS[3]) == 0 then redis.call('DEL', KEYS[3]) end
return finish({whole(now_ms), journal_id})
