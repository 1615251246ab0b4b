-- Prelude after _session of the script that admits: what an account with limits has used on a UTC day.
-- A used hash has '$', the micros charged that day, whatever is refunded later; and by prefix a struct >IIHHHHHHH: its
-- messages that day, the number of the span of ten seconds of the last one, its messages in that span and in the six
-- before. Seven spans hold any 60 s: no minute, wherever it begins, gets more than the limit.
local DAY_MS, SPAN_MS, SPANS = 86400000, 10000, 7
local day, span = math.floor(now_ms / DAY_MS), math.floor(now_ms / SPAN_MS)

-- What stands under these fields of a hash.
local function read_fields(name, fields)
  if #fields <= 1000 then return redis.call('HMGET', name, unpack(fields)) end
  local values = {}
  for first = 1, #fields, 1000 do
    local last = math.min(first + 999, #fields)
    local held = redis.call('HMGET', name, unpack(fields, first, last))
    for i = first, last do values[i] = held[i - first + 1] end
  end
  return values
end

-- The limits at ARGV[at], see admit.lua, with what has been used of them. Lists go by the number of the prefix; `added`
-- is what the batch sends to it.
local function read_limits(at, name, name_before)
  local count = tonumber(ARGV[at + 3])
  local prefixes, in_minute, in_day, spans_of, added = {}, {}, {}, {}, {}
  local used = {key = name, spend_max = tonumber(ARGV[at]), minute_max = tonumber(ARGV[at + 1]) or math.huge,
    day_max = tonumber(ARGV[at + 2]) or math.huge, prefixes = prefixes, has_prefixes = count > 0,
    in_minute = in_minute, in_day = in_day, spans = spans_of, added = added}
  if used.spend_max then used.spent = tonumber(redis.call('HGET', name, '$') or '0') end
  if count > 0 then
    for p = 1, count do
      prefixes[p], added[p] = ARGV[at + 2 + 2 * p], tonumber(ARGV[at + 3 + 2 * p])
    end
    local held, before = read_fields(name, prefixes), {}
    if now_ms % DAY_MS < SPANS * SPAN_MS then before = read_fields(name_before, prefixes) end
    for p = 1, count do
      in_minute[p], in_day[p] = 0, 0
      local value = held[p] or before[p]
      if value then
        local total, last, a, b, c, d, e, f, g = struct.unpack('>IIHHHHHHH', value)
        if held[p] then in_day[p] = total end
        -- Spans of a time to come are from before the clock stepped back.
        if last > span then a, b, c, d, e, f, g = 0, 0, 0, 0, 0, 0, 0 end
        for _ = last + 1, math.min(span, last + SPANS) do a, b, c, d, e, f, g = 0, a, b, c, d, e, f end
        spans_of[p] = {a, b, c, d, e, f, g}
        in_minute[p] = a + b + c + d + e + f + g
      end
    end
  end
  return used, at + 4 + 2 * count
end

-- True when all that the batch adds is within the limits. micros: what all of it costs.
local function has_room(used, micros)
  if used.spend_max and used.spent + micros > used.spend_max then return false end
  local in_minute, in_day, minute_max, day_max = used.in_minute, used.in_day, used.minute_max, used.day_max
  for p, added in ipairs(used.added) do
    if in_minute[p] + added > minute_max or in_day[p] + added > day_max then return false end
  end
  return true
end

-- Begin to count what the batch adds, message by message.
local function forget_counts(used)
  for p = 1, #used.added do used.added[p] = 0 end
end

-- Count a message to a prefix; or say how many ms to wait until that is possible.
local function count_message(used, p)
  local added = used.added[p]
  if used.in_day[p] + added >= used.day_max then return (day + 1) * DAY_MS - now_ms end
  local left = used.in_minute[p] + added
  if left >= used.minute_max then
    local spans, ahead = used.spans[p], 0
    repeat
      left = left - (spans and spans[SPANS - ahead] or 0)
      ahead = ahead + 1
    until left < used.minute_max or ahead == SPANS
    return (span + ahead) * SPAN_MS - now_ms
  end
  used.added[p] = added + 1
end

-- Count a submission of `count` messages, whose prefixes are numbered in `metas` from `at` on: all of them or none.
local function count_messages(used, metas, at, count)
  for m = 0, count - 1 do
    local wait = count_message(used, struct.unpack('>H', metas, at + 8 * m))
    if wait then
      for n = 0, m - 1 do
        local p = struct.unpack('>H', metas, at + 8 * n)
        used.added[p] = used.added[p] - 1
      end
      return wait
    end
  end
end

-- Keep what was counted. micros: what the account is charged now.
local function write_limits(used, micros)
  local fields = {}
  if used.spend_max then fields = {'$', whole(used.spent + micros)} end
  for p, added in ipairs(used.added) do
    if added > 0 then
      local spans, counted = used.spans[p], nil
      if spans then
        spans[1] = math.min(spans[1] + added, 65535)
        counted = struct.pack('>IIHHHHHHH', used.in_day[p] + added, span, unpack(spans))
      else
        counted = struct.pack('>IIHHHHHHH', added, span, math.min(added, 65535), 0, 0, 0, 0, 0, 0)
      end
      fields[#fields + 1] = used.prefixes[p]
      fields[#fields + 1] = counted
    end
  end
  chunked('HSET', used.key, fields)
  if redis.call('HLEN', used.key) * 2 == #fields then
    redis.call('EXPIREAT', used.key, whole((day + 1) * DAY_MS / 1000 + 2 * SPANS * SPAN_MS / 1000))
  end
end
