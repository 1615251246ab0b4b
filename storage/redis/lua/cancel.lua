-- Ask for the cancellation of messages that were admitted although their customer was refused. The turn that would
-- record their intent decides it. Idempotent, no session.
-- KEYS[1] changes   then the idempotency hash of each message that has a request key
-- ARGV[1] number of messages   then their ids (8 bytes)
--         then for each idempotency hash the field to forget, so that a later copy of the request is a new message
-- REPLY   {how many requests are new}
local count = tonumber(ARGV[1])
local new = 0
for i = 1, count do new = new + redis.call('HSETNX', KEYS[1], ARGV[1 + i], 'cancel') end
redis.call('EXPIRE', KEYS[1], 691200)
for i = 2, #KEYS do redis.call('HDEL', KEYS[i], ARGV[count + i]) end
return {new}
