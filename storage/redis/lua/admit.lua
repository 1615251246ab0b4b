-- Admit a batch of submissions: deduplicate, limit the rate, take the money, queue, journal. Each submission is
-- admitted whole or not at all and gets its own verdict.
-- include: _session _records
-- KEYS[1] session   KEYS[2] journal   KEYS[3] depth
--         then one acct hash an account; a queue stream and a ready set a queue; the idempotency hashes of the
--         current and the previous window an idempotency bucket
-- ARGV[3] not_after_ms   ARGV[4] highest message id of the batch   ARGV[5] idempotency window
-- ARGV[6..9] how many accounts, queues, idempotency buckets, submissions   ARGV[10] bell channel
--         an account: microseconds a message (GCRA), burst in microseconds, floor of the balance
--         a queue: upstream, most messages the upstream may have waiting
--         a submission: struct >HHIdHH.. (account, idempotency bucket or 0, cost in messages, price, number of
--         messages, queue of each), [idempotency field, answer to store], one record a message
-- REPLY   {verdicts, now_ms, journal id or '', extra...}; a verdict is one letter: A admitted, D duplicate (extra: the
--         stored answer), T throttled (extra: ms to wait), I insufficient balance, Q queue full, L too late.
--         A duplicate of an earlier call leaves a mark, \0 and the field: its customer has a yes, see cancel.lua.
--         {'W', now_ms} when the window is another: nothing was done and the number is not used up.
local accounts, queues, buckets, submissions = tonumber(ARGV[6]), tonumber(ARGV[7]), tonumber(ARGV[8]), tonumber(ARGV[9])
if now_ms > tonumber(ARGV[3]) then
  return finish({string.rep('L', submissions), whole(now_ms), ''})
end
if buckets > 0 and math.floor(now_ms / 86400000) ~= tonumber(ARGV[5]) then
  return {'W', whole(now_ms)}
end

local key, arg = 3, 11
local account = {}
for i = 1, accounts do
  local name = KEYS[key + i]
  local held = redis.call('HMGET', name, 'balance', 'tat')
  local balance = tonumber(held[1] or '0')
  local tat = tonumber(held[2] or '0')
  if not balance or not tat then
    return redis.error_reply('CORRUPT ' .. name)
  end
  local burst = tonumber(ARGV[arg + 1])
  if tat > now_us + burst then tat = now_us + burst end
  if tat < now_us then tat = now_us end
  account[i] = {key = name, balance = balance, tat = tat, interval = tonumber(ARGV[arg]), burst = burst,
    floor = tonumber(ARGV[arg + 2]), spent = 0, admitted = 0}
  arg = arg + 3
end
key = key + accounts
local queue, depth = {}, {}
for i = 1, queues do
  local upstream = ARGV[arg]
  if not depth[upstream] then
    depth[upstream] = {held = tonumber(redis.call('HGET', KEYS[3], upstream) or '0'), added = 0}
  end
  queue[i] = {key = KEYS[key + 2 * i - 1], ready = KEYS[key + 2 * i], depth = depth[upstream],
    max = tonumber(ARGV[arg + 1]), records = {''}}
  arg = arg + 2
end
key = key + 2 * queues

local verdicts, extras, journal = {}, {}, {''}
local seen, stored, confirmed = {}, {}, {}
for s = 1, submissions do
  local meta = ARGV[arg]
  local a, idem, cost, price, count, first = struct.unpack('>HHIdHH', meta)
  arg = arg + 1
  local verdict = 'A'
  local field, answer
  if idem > 0 then
    field, answer = ARGV[arg], ARGV[arg + 1]
    arg = arg + 2
    local known = seen[idem] and seen[idem][field]
    if not known then
      known = redis.call('HGET', KEYS[key + 2 * idem - 1], field) or redis.call('HGET', KEYS[key + 2 * idem], field)
      if known then
        confirmed[#confirmed + 1] = KEYS[key + 2 * idem - 1]
        confirmed[#confirmed + 1] = '\0' .. field
      end
    end
    if known then
      verdict = 'D'
      extras[#extras + 1] = known
    end
  end
  if verdict == 'A' then
    local payer = account[a]
    local tat = payer.tat + cost * payer.interval
    local target = queue[first]
    if target.depth.held + target.depth.added + count > target.max then
      verdict = 'Q'
    elseif tat > now_us + payer.burst then
      verdict = 'T'
      extras[#extras + 1] = whole(math.ceil((tat - now_us - payer.burst) / 1000))
    elseif payer.balance - payer.spent - price < payer.floor then
      verdict = 'I'
    else
      payer.tat = tat
      payer.spent = payer.spent + price
      payer.admitted = payer.admitted + 1
      for m = 1, count do
        if m > 1 then target = queue[struct.unpack('>H', meta, 17 + 2 * m)] end
        local record = ARGV[arg + m - 1]
        target.records[#target.records + 1] = record
        target.depth.added = target.depth.added + 1
        journal[#journal + 1] = record
      end
      if idem > 0 then
        seen[idem] = seen[idem] or {}
        stored[idem] = stored[idem] or {}
        seen[idem][field] = answer
        local pairs_of = stored[idem]
        pairs_of[#pairs_of + 1] = field
        pairs_of[#pairs_of + 1] = answer
      end
    end
  end
  arg = arg + count
  verdicts[s] = verdict
end

local journal_id = ''
for i = 1, #confirmed, 2 do
  redis.call('HSET', confirmed[i], confirmed[i + 1], '')
  if redis.call('TTL', confirmed[i]) < 0 then redis.call('EXPIRE', confirmed[i], 176400) end
end
if #journal > 1 then
  journal[1] = array_header(#journal - 1)
  journal_id = redis.call('XADD', KEYS[2], '*', 'k', 'A', 'b', table.concat(journal))
  for i = 1, queues do
    local target = queue[i]
    local count = #target.records - 1
    if count > 0 then
      target.records[1] = array_header(count)
      redis.call('XADD', target.key, '*', 'b', table.concat(target.records))
      redis.call('SADD', target.ready, target.key)
    end
  end
  for upstream, counted in pairs(depth) do
    if counted.added > 0 then
      redis.call('HINCRBY', KEYS[3], upstream, counted.added)
      redis.call('PUBLISH', ARGV[10], 'q:' .. upstream)
    end
  end
  for i = 1, accounts do
    local payer = account[i]
    if payer.admitted > 0 then
      redis.call('HINCRBY', payer.key, 'balance', whole(-payer.spent))
      redis.call('HSET', payer.key, 'tat', whole(payer.tat))
    end
  end
  for idem, fields in pairs(stored) do
    local name = KEYS[key + 2 * idem - 1]
    chunked('HSET', name, fields)
    if redis.call('HLEN', name) * 2 == #fields then redis.call('EXPIRE', name, 176400) end
  end
  redis.call('HSET', KEYS[1], 'top', ARGV[4])
end
return finish({table.concat(verdicts), whole(now_ms), journal_id, unpack(extras)})
