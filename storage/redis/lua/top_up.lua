-- Change a balance by an operator's order, once for each reference. Idempotent by the reference, no session.
-- KEYS[1] journal   KEYS[2] acct   KEYS[3] topups
-- ARGV[1] reference   ARGV[2] micros (may be negative)   ARGV[3] journal blob of one LedgerRecord
-- REPLY   {1 applied or 0 known before, balance, journal id}
local known = redis.call('HGET', KEYS[3], ARGV[1])
if known then
  return {0, redis.call('HGET', KEYS[2], 'balance') or '0', known}
end
local balance = tonumber(redis.call('HGET', KEYS[2], 'balance') or '0')
if not balance or math.abs(balance + tonumber(ARGV[2])) > 9007199254740991 then
  return redis.error_reply('OUTOFRANGE balance would leave 2^53')
end
local journal_id = redis.call('XADD', KEYS[1], '*', 'k', 'L', 'b', ARGV[3])
redis.call('HINCRBY', KEYS[2], 'balance', ARGV[2])
redis.call('HSET', KEYS[3], ARGV[1], journal_id)
return {1, redis.call('HGET', KEYS[2], 'balance'), journal_id}
