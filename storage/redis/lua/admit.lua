-- Admit a batch of submissions: deduplicate, limit the rate, the spend of the day and what a prefix gets, take the
-- money, queue, journal. Each submission is admitted whole or not at all and gets its own verdict.
-- include: _session _records _limits
-- KEYS[1] session   KEYS[2] journal   KEYS[3] depth   KEYS[4] strict: what waits there for PostgreSQL, see release.lua
--         then one acct hash an account; a queue stream and a ready set a queue; the idempotency hashes of the current
--         and the previous window a bucket; the used hashes of both windows an account with limits
-- ARGV[3] not_after_ms   ARGV[4] highest message id of the batch   ARGV[5] window: a UTC day
-- ARGV[6..10] how many accounts, queues, idempotency buckets, accounts with limits, submissions   ARGV[11] bell channel
--         an account: microseconds a message (GCRA), burst in microseconds, floor of the balance
--         a queue: upstream, most messages the upstream may have waiting, '1' where they wait for PostgreSQL first
--         an idempotency bucket: how many fields, each of them
--         an account with limits: its number, most micros a day, most messages to a prefix in a minute and in a day ('':
--         no limit), how many prefixes, each of them
--         a submission: struct >HHIdHH.. (account, idempotency field or 0, cost in messages, price, number of
--         messages, queue of each, and where the account's prefixes are counted the prefix of each),
--         [answer to store], one record a message
-- REPLY   {verdicts, now_ms, journal id or '', extra...}; a verdict is one letter: A admitted, D duplicate (extra: the
--         stored answer), T throttled, S spend limit, V velocity of a prefix (extra of these: ms to wait),
--         I insufficient balance, Q queue full, L too late.
--         A duplicate of an earlier call leaves a mark, \0 and the field: its customer has a yes, see cancel.lua.
--         {'W', now_ms} when the window is another: nothing was done and the number is not used up.
local accounts, queues, buckets = tonumber(ARGV[6]), tonumber(ARGV[7]), tonumber(ARGV[8])
local limited, submissions = tonumber(ARGV[9]), tonumber(ARGV[10])
if now_ms > tonumber(ARGV[3]) then
  return finish({string.rep('L', submissions), whole(now_ms), ''})
end
if buckets + limited > 0 and day ~= tonumber(ARGV[5]) then
  return {'W', whole(now_ms)}
end

local key, arg = 4, 12
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
  -- A time further ahead is from before the clock stepped back, or the burst became less. It is kept at the end of the
  -- burst from now on, also when nothing is admitted: else it would be there again at the next call.
  local is_ahead = tat > now_us + burst
  if is_ahead then tat = now_us + burst end
  if tat < now_us then tat = now_us end
  account[i] = {key = name, balance = balance, tat = tat, is_ahead = is_ahead,
    interval = tonumber(ARGV[arg]), burst = burst, floor = tonumber(ARGV[arg + 2]), spent = 0, admitted = 0}
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
    upstream = upstream, max = tonumber(ARGV[arg + 1]), is_strict = ARGV[arg + 2] == '1', records = {''}}
  arg = arg + 3
end
key = key + 2 * queues

-- By the number of an idempotency field: its name, its bucket, what is stored under it, and what this batch stores.
local field, bucket_of, known, fresh = {}, {}, {}, {}
for i = 1, buckets do
  local count = tonumber(ARGV[arg])
  local current = redis.call('HMGET', KEYS[key + 2 * i - 1], unpack(ARGV, arg + 1, arg + count))
  local before = redis.call('HMGET', KEYS[key + 2 * i], unpack(ARGV, arg + 1, arg + count))
  for j = 1, count do
    local f = #field + 1
    field[f], bucket_of[f], known[f] = ARGV[arg + j], i, current[j] or before[j]
  end
  arg = arg + 1 + count
end
local used_key = key + 2 * buckets
for i = 1, limited do
  local payer = account[tonumber(ARGV[arg])]
  payer.used, arg = read_limits(arg + 1, KEYS[used_key + 2 * i - 1], KEYS[used_key + 2 * i])
end

local verdicts, extras, journal, confirmed = {}, {}, {''}, {}
for s = 1, submissions do
  local meta = ARGV[arg]
  local a, idem, cost, price, count, first = struct.unpack('>HHIdHH', meta)
  arg = arg + 1
  local verdict = 'A'
  local answer
  if idem > 0 then
    answer = ARGV[arg]
    arg = arg + 1
    local stored = fresh[idem]
    if not stored and known[idem] then
      stored = known[idem]
      confirmed[#confirmed + 1] = KEYS[key + 2 * bucket_of[idem] - 1]
      confirmed[#confirmed + 1] = '\0' .. field[idem]
    end
    if stored then
      verdict = 'D'
      extras[#extras + 1] = stored
    end
  end
  if verdict == 'A' then
    local payer = account[a]
    local tat = payer.tat + cost * payer.interval
    local target, used, wait = queue[first], payer.used, nil
    if target.depth.held + target.depth.added + count > target.max then
      verdict = 'Q'
    elseif tat > now_us + payer.burst then
      verdict = 'T'
      wait = math.ceil((tat - now_us - payer.burst) / 1000)
    elseif used and used.spend_max and used.spent + payer.spent + price > used.spend_max then
      verdict = 'S'
      wait = (day + 1) * DAY_MS - now_ms
    elseif payer.balance - payer.spent - price < payer.floor then
      verdict = 'I'
    elseif used and used.has_prefixes then
      wait = count_messages(used, meta, 19 + 2 * count, count)
      if wait then verdict = 'V' end
    end
    if wait then extras[#extras + 1] = whole(wait) end
    if verdict == 'A' then
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
      if idem > 0 then fresh[idem] = answer end
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
      local blob = table.concat(target.records)
      if target.is_strict then
        redis.call('XADD', KEYS[4], '*', 'j', journal_id, 'u', target.upstream, 'q', target.key, 'r', target.ready,
          'b', blob)
      else
        redis.call('XADD', target.key, '*', 'b', blob)
        redis.call('SADD', target.ready, target.key)
      end
    end
  end
  for upstream, counted in pairs(depth) do
    if counted.added > 0 then
      redis.call('HINCRBY', KEYS[3], upstream, counted.added)
      redis.call('PUBLISH', ARGV[11], 'q:' .. upstream)
    end
  end
  for i = 1, accounts do
    local payer = account[i]
    if payer.admitted > 0 then
      redis.call('HINCRBY', payer.key, 'balance', whole(-payer.spent))
      redis.call('HSET', payer.key, 'tat', whole(payer.tat))
      if payer.used then write_limits(payer.used, payer.spent) end
    end
  end
  local fields = {}
  for f = 1, #field do
    if fresh[f] then
      fields[#fields + 1] = field[f]
      fields[#fields + 1] = fresh[f]
    end
    if #fields > 0 and bucket_of[f + 1] ~= bucket_of[f] then
      local name = KEYS[key + 2 * bucket_of[f] - 1]
      chunked('HSET', name, fields)
      if redis.call('HLEN', name) * 2 == #fields then redis.call('EXPIRE', name, 176400) end
      fields = {}
    end
  end
  redis.call('HSET', KEYS[1], 'top', ARGV[4])
end
for i = 1, accounts do
  local payer = account[i]
  if payer.is_ahead and payer.admitted == 0 then redis.call('HSET', payer.key, 'tat', whole(payer.tat)) end
end
return finish({table.concat(verdicts), whole(now_ms), journal_id, unpack(extras)})
