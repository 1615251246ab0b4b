-- Callbacks to an ESME that have ended: journal them and delete the blobs in which none is left.
-- include: _session
-- KEYS[1] session   KEYS[2] journal   KEYS[3] out stream of the account
-- ARGV[3] journal blob of CallbackResults or ''   then the ids of the finished entries
-- REPLY   {now_ms, journal id or ''}
local journal_id = ''
if ARGV[3] ~= '' then
  journal_id = redis.call('XADD', KEYS[2], '*', 'k', 'C', 'b', ARGV[3])
end
if #ARGV > 3 then
  for first = 4, #ARGV, 1000 do
    redis.call('XDEL', KEYS[3], unpack(ARGV, first, math.min(first + 999, #ARGV)))
  end
  if redis.call('XLEN', KEYS[3]) == 0 then redis.call('DEL', KEYS[3]) end
end
return finish({whole(now_ms), journal_id})
