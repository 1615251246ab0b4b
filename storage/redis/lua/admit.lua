-- Admit a batch of submissions: deduplicate, limit the rate, the spend of the day and what a prefix gets, take the
-- money, queue, journal. Each submission is admitted whole or not at all and gets its own verdict.
-- What is asked for all of the batch together is looked at first: when that is there, so it is for each submission.
-- include: _session _records _limits
-- KEYS[1] session   KEYS[2] journal   KEYS[3] depth   KEYS[4] strict: what waits there for PostgreSQL, see release.lua
-- KEYS[5] overflow: what waits in PostgreSQL alone, see refill.lua
--         then one acct hash an account; a queue stream and a ready set a queue; the idempotency hashes of the current
--         and the previous window a bucket; the used hashes of both windows an account with limits
-- ARGV[3] not_after_ms   ARGV[4] highest message id of the batch   ARGV[5] window: a UTC day
-- ARGV[6..10] how many accounts, queues, idempotency buckets, accounts with limits, submissions
-- ARGV[11] '1' when a request key is in the batch twice   ARGV[12] bell channel   ARGV[13] the submissions, joined
-- ARGV[14] messages that an upstream may have in Redis: more are journalled, and wait in PostgreSQL alone
--         an account: microseconds a message (GCRA), burst in microseconds, floor of the balance; of all it sends: cost
--         in messages, price
--         a queue: upstream, most messages the upstream may have waiting, how they wait: '' in the queue, '1' for
--         PostgreSQL first, '2' for their time, in PostgreSQL alone; how many records it gets, these joined
--         an idempotency bucket: how many requests, each of them: field, answer to store
--         an account with limits: its number, most micros a day, most messages to a prefix in a minute and in a day ('':
--         no limit), how many prefixes, each of them: prefix, how many messages to it
--         a submission: struct >HHIdH (account, number of its request or 0, cost in messages, price, number of
--         messages), and for each message >HIH (queue, octets of its record, prefix or 0)
-- REPLY   {verdicts, now_ms, journal id or '', extra...}; a verdict is one letter: A admitted, D duplicate (extra: the
--         stored answer), T throttled, S spend limit, V velocity of a prefix (extra of these: ms to wait),
--         I insufficient balance, Q queue full, L too late.
--         A duplicate of an earlier call leaves a mark, \0 and the field: its customer has a yes, see cancel.lua.
--         {'W', now_ms} when the window is another: nothing was done and the number is not used up.
local accounts, queues, buckets = tonumber(ARGV[6]), tonumber(ARGV[7]), tonumber(ARGV[8])
local limited, submissions = tonumber(ARGV[9]), tonumber(ARGV[10])
local metas = ARGV[13]
if now_ms > tonumber(ARGV[3]) then
  return finish({string.rep('L', submissions), whole(now_ms), ''})
end
if buckets + limited > 0 and day ~= tonumber(ARGV[5]) then
  return {'W', whole(now_ms)}
end

local key, arg = 5, 15
local fits = ARGV[11] ~= '1'
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
  local payer = {key = name, balance = balance, tat = tat, is_ahead = is_ahead, interval = tonumber(ARGV[arg]),
    burst = burst, floor = tonumber(ARGV[arg + 2]), cost = tonumber(ARGV[arg + 3]), price = tonumber(ARGV[arg + 4])}
  fits = fits and tat + payer.cost * payer.interval <= now_us + burst and balance - payer.price >= payer.floor
  account[i] = payer
  arg = arg + 5
end
key = key + accounts
local queue, depth, in_redis_max = {}, {}, tonumber(ARGV[14])
for i = 1, queues do
  local upstream, name, wait, overflow = ARGV[arg], KEYS[key + 2 * i - 1], ARGV[arg + 2], nil
  local counted = depth[upstream]
  if not counted then
    local held = redis.call('HMGET', KEYS[3], upstream, '\0' .. upstream)
    counted = {held = tonumber(held[1] or '0'), apart = tonumber(held[2] or '0'), added = 0}
    depth[upstream] = counted
  end
  if wait == '2' then
    overflow = '@' .. name
  elseif counted.apart > 0 and redis.call('HEXISTS', KEYS[5], name) == 1
    or counted.held - counted.apart >= in_redis_max and redis.call('EXISTS', name) == 1 then
    overflow = name
  end
  local target = {key = name, ready = KEYS[key + 2 * i], depth = counted, upstream = upstream, overflow = overflow,
    max = tonumber(ARGV[arg + 1]), is_strict = wait == '1', count = tonumber(ARGV[arg + 3]), body = ARGV[arg + 4]}
  counted.added = counted.added + target.count
  queue[i] = target
  arg = arg + 5
end
for i = 1, queues do
  fits = fits and queue[i].depth.held + queue[i].depth.added <= queue[i].max
end
key = key + 2 * queues

-- Requests go by their number: their bucket, where field and answer stand, and what is stored under the field already.
local bucket, bucket_of, request_at, known = {}, {}, {}, {}
for i = 1, buckets do
  local count = tonumber(ARGV[arg])
  local before_first, fields = #request_at, {}
  for j = 1, count do
    bucket_of[before_first + j], request_at[before_first + j] = i, arg + 2 * j - 1
    fields[j] = ARGV[arg + 2 * j - 1]
  end
  local name = KEYS[key + 2 * i - 1]
  local current = redis.call('HMGET', name, unpack(fields))
  local before = redis.call('HMGET', KEYS[key + 2 * i], unpack(fields))
  for j = 1, count do
    local stored = current[j] or before[j]
    if stored then
      known[before_first + j], fits = stored, false
    end
  end
  bucket[i] = {key = name, first = arg + 1, count = 2 * count}
  arg = arg + 1 + 2 * count
end
key = key + 2 * buckets
for i = 1, limited do
  local payer = account[tonumber(ARGV[arg])]
  payer.used, arg = read_limits(arg + 1, KEYS[key + 2 * i - 1], KEYS[key + 2 * i])
  fits = fits and has_room(payer.used, payer.price)
end

-- True when the queues have room for the messages of a submission, which stand in `metas` from `at` on.
local function has_queue(at, count)
  local more = {}
  for m = 0, count - 1 do
    local target = queue[struct.unpack('>H', metas, at + 8 * m)]
    local counted = target.depth
    more[counted] = (more[counted] or 0) + 1
    if counted.held + counted.added + more[counted] > target.max then return false end
  end
  return true
end

-- Decide on each submission by itself, and leave of the sums, queues and requests only what is admitted.
local function decide_each()
  for i = 1, accounts do
    local payer = account[i]
    payer.cost, payer.price = 0, 0
    if payer.used then forget_counts(payer.used) end
  end
  for i = 1, queues do
    local target = queue[i]
    target.depth.added, target.count, target.records, target.at = 0, 0, {}, 1
  end
  for i = 1, buckets do bucket[i].fresh, bucket[i].fields = {}, {} end
  local verdicts, extras, confirmed, at = {}, {}, {}, 1
  for s = 1, submissions do
    local a, request, cost, price, count, first = struct.unpack('>HHIdH', metas, at)
    at = first + 8 * count
    local payer = account[a]
    local tat, used = payer.tat + (payer.cost + cost) * payer.interval, payer.used
    local place, field, stored
    if request > 0 then
      place, field = bucket[bucket_of[request]], ARGV[request_at[request]]
      stored = place.fresh[field] or known[request]
    end
    local verdict, extra = 'A', nil
    if stored then
      verdict, extra = 'D', stored
      if not place.fresh[field] then confirmed[#confirmed + 1] = {place.key, '\0' .. field} end
    elseif not has_queue(first, count) then
      verdict = 'Q'
    elseif tat > now_us + payer.burst then
      verdict, extra = 'T', whole(math.ceil((tat - now_us - payer.burst) / 1000))
    elseif used and used.spend_max and used.spent + payer.price + price > used.spend_max then
      verdict, extra = 'S', whole((day + 1) * DAY_MS - now_ms)
    elseif payer.balance - payer.price - price < payer.floor then
      verdict = 'I'
    elseif used and used.has_prefixes then
      local wait = count_messages(used, metas, first + 6, count)
      if wait then verdict, extra = 'V', whole(wait) end
    end
    verdicts[s] = verdict
    extras[#extras + 1] = extra
    local is_admitted = verdict == 'A'
    for m = 0, count - 1 do
      local q, size = struct.unpack('>HI', metas, first + 8 * m)
      local target = queue[q]
      if is_admitted then
        target.records[#target.records + 1] = string.sub(target.body, target.at, target.at + size - 1)
        target.count, target.depth.added = target.count + 1, target.depth.added + 1
      end
      target.at = target.at + size
    end
    if is_admitted then
      payer.cost, payer.price = payer.cost + cost, payer.price + price
      if request > 0 then
        local answer = ARGV[request_at[request] + 1]
        place.fresh[field] = answer
        place.fields[#place.fields + 1] = field
        place.fields[#place.fields + 1] = answer
      end
    end
  end
  for i = 1, queues do queue[i].body = table.concat(queue[i].records) end
  return table.concat(verdicts), extras, confirmed
end

local verdicts, extras, confirmed = nil, {}, {}
if fits then
  verdicts = string.rep('A', submissions)
else
  verdicts, extras, confirmed = decide_each()
end

for _, mark in ipairs(confirmed) do
  redis.call('HSET', mark[1], mark[2], '')
  if redis.call('TTL', mark[1]) < 0 then redis.call('EXPIRE', mark[1], 176400) end
end
local total, bodies, effects, has_overflow = 0, {''}, {}, false
for i = 1, queues do
  local target = queue[i]
  total = total + target.count
  bodies[i + 1] = target.body
  effects[i] = string.rep(target.overflow and '1' or '0', target.count)
  has_overflow = has_overflow or target.overflow and target.count > 0
end
local journal_id = ''
if total > 0 then
  bodies[1] = array_header(total)
  local entry = {'k', 'A', 'b', table.concat(bodies)}
  if has_overflow then entry[5], entry[6] = 'e', table.concat(effects) end
  journal_id = redis.call('XADD', KEYS[2], '*', unpack(entry))
  for i = 1, queues do
    local target = queue[i]
    if target.count > 0 and target.overflow then
      redis.call('HINCRBY', KEYS[5], target.overflow, target.count)
      redis.call('HINCRBY', KEYS[3], '\0' .. target.upstream, target.count)
    elseif target.count > 0 then
      local blob = array_header(target.count) .. target.body
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
      redis.call('PUBLISH', ARGV[12], 'q:' .. upstream)
    end
  end
  for i = 1, accounts do
    local payer = account[i]
    if payer.cost > 0 then
      redis.call('HSET', payer.key, 'balance', whole(payer.balance - payer.price),
        'tat', whole(payer.tat + payer.cost * payer.interval))
      if payer.used then write_limits(payer.used, payer.price) end
    end
  end
  for i = 1, buckets do
    local place = bucket[i]
    local count = place.fields and #place.fields or place.count
    if count > 0 then
      if place.fields then
        chunked('HSET', place.key, place.fields)
      else
        redis.call('HSET', place.key, unpack(ARGV, place.first, place.first + count - 1))
      end
      if redis.call('HLEN', place.key) * 2 == count then redis.call('EXPIRE', place.key, 176400) end
    end
  end
  redis.call('HSET', KEYS[1], 'top', ARGV[4])
end
for i = 1, accounts do
  local payer = account[i]
  if payer.is_ahead and payer.cost == 0 then redis.call('HSET', payer.key, 'tat', whole(payer.tat)) end
end
return finish({verdicts, whole(now_ms), journal_id, unpack(extras)})
