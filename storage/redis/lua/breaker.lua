-- Publish how an upstream stands, for as long as its owner goes on saying so.
-- include: _session
-- KEYS[1] session   KEYS[2] breakers
-- ARGV[3] upstream   ARGV[4] state, since when in ms and whether it takes new messages, or '' when it is closed
-- ARGV[5] ms that this is believed   ARGV[6] bell channel
-- REPLY   {1 when the others were told, 0 when nothing changed}
local before = redis.call('HGET', KEYS[2], ARGV[3])
local said = before and string.match(before, '^%d+ (.*)$') or ''
if ARGV[4] == '' then
  redis.call('HDEL', KEYS[2], ARGV[3])
else
  redis.call('HSET', KEYS[2], ARGV[3], whole(now_ms + tonumber(ARGV[5])) .. ' ' .. ARGV[4])
end
if said == ARGV[4] then return finish({'0'}) end
redis.call('PUBLISH', ARGV[6], 'b')
return finish({'1'})
