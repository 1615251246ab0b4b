-- Prelude after _session of the script that admits: what an account with limits has used on a UTC day.
-- A used hash has '$', the micros charged that day, whatever is refunded later; and by prefix a struct >IIHHHHHHH: its
-- messages that day, the number of the span of ten seconds of the last one, its messages in that span and in the six
-- before. Seven spans hold any 60 s: no minute, wherever it begins, gets more than the limit.
local DAY_MS, SPAN_MS, SPANS = 86400000, 10000, 7
local day, span = math.floor(now_ms / DAY_MS), math.floor(now_ms / SPAN_MS)

-- What stands under the prefixes ARGV[first] ... of a used hash, in their order.
local function read_prefixes(name, first, count)
  if count <= 1000 then return redis.call('HMGET', name, unpack(ARGV, first, first + count - 1)) end
  local held = redis.call('HMGET', name, unpack(ARGV, first, first + 999))
  for i, value in ipairs(read_prefixes(name, first + 1000, count - 1000)) do held[1000 + i] = value end
  return held
end

-- The limits at ARGV[at], see admit.lua, with what has been used of them. Lists go by the number of the prefix.
local function read_limits(at, name, name_before)
  local count = tonumber(ARGV[at + 3])
  local in_minute, in_day, spans_of, added = {}, {}, {}, {}
  local used = {key = name, spend_max = tonumber(ARGV[at]), minute_max = tonumber(ARGV[at + 1]) or math.huge,
    day_max = tonumber(ARGV[at + 2]) or math.huge, prefixes_at = at + 3, has_prefixes = count > 0,
    in_minute = in_minute, in_day = in_day, spans = spans_of, added = added}
  if used.spend_max then used.spent = tonumber(redis.call('HGET', name, '$') or '0') end
  if count > 0 then
    local held, before = read_prefixes(name, at + 4, count), {}
    if now_ms % DAY_MS < SPANS * SPAN_MS then before = read_prefixes(name_before, at + 4, count) end
    for p = 1, count do
      in_minute[p], in_day[p], added[p] = 0, 0, 0
      local value = held[p] or before[p]
      if value then
        local total, last, a, b, c, d, e, f, g = struct.unpack('>IIHHHHHHH', value)
        if held[p] then in_day[p] = total end
        -- Spans of a time to come are from before the clock stepped back.
        local spans = last <= span and {a, b, c, d, e, f, g} or {0, 0, 0, 0, 0, 0, 0}
        for _ = last + 1, math.min(span, last + SPANS) do
          table.insert(spans, 1, 0)
          spans[SPANS + 1] = nil
        end
        spans_of[p] = spans
        in_minute[p] = spans[1] + spans[2] + spans[3] + spans[4] + spans[5] + spans[6] + spans[7]
      end
    end
  end
  return used, at + 4 + count
end

-- Count a message to a prefix; or say how many ms to wait until that is possible.
local function count_message(used, p)
  if used.in_day[p] >= used.day_max then return (day + 1) * DAY_MS - now_ms end
  local left = used.in_minute[p]
  if left >= used.minute_max then
    local spans, ahead = used.spans[p], 0
    repeat
      left = left - (spans and spans[SPANS - ahead] or 0)
      ahead = ahead + 1
    until left < used.minute_max or ahead == SPANS
    return (span + ahead) * SPAN_MS - now_ms
  end
  used.in_minute[p], used.in_day[p], used.added[p] = left + 1, used.in_day[p] + 1, used.added[p] + 1
end

-- Count a submission whose `count` prefixes are numbered in `meta` from `at` on: all of its messages or none.
local function count_messages(used, meta, at, count)
  for m = 1, count do
    local wait = count_message(used, struct.unpack('>H', meta, at + 2 * (m - 1)))
    if wait then
      for n = 1, m - 1 do
        local p = struct.unpack('>H', meta, at + 2 * (n - 1))
        used.in_minute[p], used.in_day[p], used.added[p] = used.in_minute[p] - 1, used.in_day[p] - 1, used.added[p] - 1
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
      local spans = used.spans[p] or {0, 0, 0, 0, 0, 0, 0}
      spans[1] = math.min(spans[1] + added, 65535)
      fields[#fields + 1] = ARGV[used.prefixes_at + p]
      fields[#fields + 1] = struct.pack('>IIHHHHHHH', used.in_day[p], span, unpack(spans))
    end
  end
  chunked('HSET', used.key, fields)
  if redis.call('HLEN', used.key) * 2 == #fields then
    redis.call('EXPIREAT', used.key, whole((day + 1) * DAY_MS / 1000 + 2 * SPANS * SPAN_MS / 1000))
  end
end
