-- Change a balance by an operator's order, once for each reference. Idempotent by the reference, no session.
-- include: _records
-- KEYS[1] journal   KEYS[2] acct   KEYS[3] topups   KEYS[4] order of the topups
-- ARGV[1] reference   ARGV[2] micros (may be negative)   ARGV[3] the LedgerRecord
-- ARGV[4] least balance that it may leave behind, '' for any
-- ARGV[5] references of before this time, in ms, are all recorded   ARGV[6] how old they must be to be forgotten, in ms
-- REPLY   {1 applied, 0 known before or -1 would leave less, balance, journal id or '', the LedgerRecord that is known}
local known = redis.call('HGET', KEYS[3], ARGV[1])
local held = redis.call('HGET', KEYS[2], 'balance') or '0'
if known then
  local at = string.find(known, ' ', 1, true) or #known + 1
  return {0, held, string.sub(known, 1, at - 1), string.sub(known, at + 1)}
end
local balance = tonumber(held)
if not balance or math.abs(balance + tonumber(ARGV[2])) > 9007199254740991 then
  return redis.error_reply('OUTOFRANGE balance would leave 2^53')
end
if ARGV[4] ~= '' and balance + tonumber(ARGV[2]) < tonumber(ARGV[4]) then
  return {-1, held, '', ''}
end
local journal_id = redis.call('XADD', KEYS[1], '*', 'k', 'L', 'b', array_header(1) .. ARGV[3])
redis.call('HINCRBY', KEYS[2], 'balance', ARGV[2])
redis.call('HSET', KEYS[3], ARGV[1], journal_id .. ' ' .. ARGV[3])
redis.call('RPUSH', KEYS[4], ARGV[1])
-- Two for one that came, so that what is kept shrinks to what is young; PostgreSQL knows the others.
local before = math.min(tonumber(ARGV[5]), tonumber(redis.call('TIME')[1]) * 1000 - tonumber(ARGV[6]))
for _ = 1, 2 do
  local oldest = redis.call('LINDEX', KEYS[4], 0)
  local of = redis.call('HGET', KEYS[3], oldest)
  if of and tonumber(string.match(of, '^%d+')) >= before then break end
  redis.call('LPOP', KEYS[4])
  redis.call('HDEL', KEYS[3], oldest)
  if redis.call('LLEN', KEYS[4]) == 0 then break end
end
return {1, redis.call('HGET', KEYS[2], 'balance'), journal_id, ARGV[3]}
