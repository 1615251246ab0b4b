-- Apply receipts and mobile-originated messages: state, refund, journal and outbox in one step.
-- include: _session _records _lists
-- KEYS[1] session   KEYS[2] journal   KEYS[3] session of the node that gave the ids of the messages
--         then every other key, named below by its number in KEYS
-- ARGV[3] bell channel   ARGV[4] hot state in seconds   ARGV[5] journal blob of ReceiptRecords or ''
-- ARGV[6] journal blob of InboundRecords or ''   ARGV[7] where the node keeps the highest id of these (a field)
-- ARGV[8] the highest id of those that are new, 0 when none is   ARGV[9] join key of the upstream, or 0
-- ARGV[10] marks of the InboundRecords, kept in the session until the next call that has some, or ''
--         then lists, each led by its length:
--         receipts (state key, id, segment, segments that are awaited, F final or N not, state (of N: what is the same
--                   when it comes again, or ''), refunded key, acct key, micros to refund, stream key or 0, callback,
--                   when to send it: F at the final effect, I when recorded)
--         inbound callbacks (stream key, callback)
--         bells (stream key, payload)
--         parts to hold (field, HeldPart)
--         parts to drop (field)
--         state keys that are kept for longer (state key, seconds)
-- REPLY   {effects, now_ms, journal id or ''}; an effect is a digit: 0 repeated, 1 recorded, 2 final
local list = lists(11)
local receipts, receipts_at = list(12)
local inbound, inbound_at = list(2)
local bells, bells_at = list(2)
local holds, holds_at = list(2)
local drops, drops_at = list(1)
local kept, kept_at = list(2)

-- What is known of the messages, read at once for each state key.
local wanted, order = {}, {}
for i = 0, receipts - 1 do
  local at = receipts_at + 12 * i
  local name = ARGV[at]
  if not wanted[name] then
    wanted[name] = {}
    order[#order + 1] = name
  end
  local fields = wanted[name]
  fields[#fields + 1] = ARGV[at + 1]
  if ARGV[at + 4] == 'N' then
    fields[#fields + 1] = ARGV[at + 1] .. '/' .. ARGV[at + 5]
  elseif ARGV[at + 3] ~= '1' then
    fields[#fields + 1] = ARGV[at + 1] .. ':' .. ARGV[at + 2]
    fields[#fields + 1] = ARGV[at + 1] .. ':n'
  end
end
local known, fresh = {}, {}
for _, name in ipairs(order) do
  local fields, values = wanted[name], {}
  for first = 1, #fields, 1000 do
    local got = redis.call('HMGET', KEYS[tonumber(name)], unpack(fields, first, math.min(first + 999, #fields)))
    for i = 1, #got do
      if got[i] then values[fields[first + i - 1]] = got[i] end
    end
  end
  known[name], fresh[name] = values, {}
end

local effects, refunds, made = {}, {}, {}
local streams, stream_order = {}, {}
local function send(stream, callback)
  if not streams[stream] then
    streams[stream] = {''}
    stream_order[#stream_order + 1] = stream
  end
  local batch = streams[stream]
  batch[#batch + 1] = callback
end
for i = 0, receipts - 1 do
  local at = receipts_at + 12 * i
  local name, id, state = ARGV[at], ARGV[at + 1], ARGV[at + 5]
  local values, added = known[name], fresh[name]
  local effect = '1'
  if ARGV[at + 4] == 'N' then
    local mark = id .. '/' .. state
    if values[id] or values[mark] then
      effect = '0'
    elseif state ~= '' then
      values[mark] = '1'
      added[#added + 1] = mark
      added[#added + 1] = '1'
    end
  elseif ARGV[at + 3] == '1' then
    if values[id] then
      effect = '0'
    else
      effect = '2'
      values[id] = state
      added[#added + 1] = id
      added[#added + 1] = state
    end
  else
    local part, counter = id .. ':' .. ARGV[at + 2], id .. ':n'
    if values[part] then
      effect = '0'
    else
      values[part] = state
      added[#added + 1] = part
      added[#added + 1] = state
      local ends = state ~= '4'
      if not ends then
        local delivered = tonumber(values[counter] or '0') + 1
        values[counter] = tostring(delivered)
        added[#added + 1] = counter
        added[#added + 1] = values[counter]
        ends = delivered >= tonumber(ARGV[at + 3])
      end
      if ends and not values[id] then
        effect = '2'
        values[id] = state
        added[#added + 1] = id
        added[#added + 1] = state
      end
    end
  end
  effects[#effects + 1] = effect
  if ARGV[at + 8] ~= '0' then
    local refund = '0'
    if effect == '2' and redis.call('SISMEMBER', KEYS[tonumber(ARGV[at + 6])], id) == 0 then
      refund = '1'
      refunds[#refunds + 1] = at
    end
    made[#made + 1] = refund
  end
  if ARGV[at + 9] ~= '0' and ((effect == '2' and ARGV[at + 11] == 'F') or (effect == '1' and ARGV[at + 11] == 'I')) then
    send(ARGV[at + 9], ARGV[at + 10])
  end
end
for i = 0, inbound - 1 do
  send(ARGV[inbound_at + 2 * i], ARGV[inbound_at + 2 * i + 1])
end

local all_effects, journal_id = table.concat(effects), ''
if ARGV[5] ~= '' then
  journal_id = redis.call('XADD', KEYS[2], '*', 'k', 'R', 'b', ARGV[5], 'e', all_effects, 'r', table.concat(made))
end
if ARGV[6] ~= '' then
  journal_id = redis.call('XADD', KEYS[2], '*', 'k', 'M', 'b', ARGV[6])
  if ARGV[8] ~= '0' then redis.call('HSET', KEYS[3], ARGV[7], ARGV[8]) end
end
if ARGV[10] ~= '' then redis.call('HSET', KEYS[1], 'marks', ARGV[10]) end
if holds + drops > 0 then
  local held, gone = {}, {}
  for i = 0, 2 * holds - 1 do held[i + 1] = ARGV[holds_at + i] end
  for i = 0, drops - 1 do gone[i + 1] = ARGV[drops_at + i] end
  chunked('HSET', KEYS[tonumber(ARGV[9])], held)
  chunked('HDEL', KEYS[tonumber(ARGV[9])], gone)
end
for _, at in ipairs(refunds) do
  local set = KEYS[tonumber(ARGV[at + 6])]
  redis.call('SADD', set, ARGV[at + 1])
  redis.call('EXPIRE', set, 1296000)
  redis.call('HINCRBY', KEYS[tonumber(ARGV[at + 7])], 'balance', ARGV[at + 8])
end
for _, name in ipairs(order) do
  if #fresh[name] > 0 then
    chunked('HSET', KEYS[tonumber(name)], fresh[name])
    redis.call('EXPIRE', KEYS[tonumber(name)], ARGV[4])
  end
end
for i = 0, kept - 1 do redis.call('EXPIRE', KEYS[tonumber(ARGV[kept_at + 2 * i])], ARGV[kept_at + 2 * i + 1]) end
for _, stream in ipairs(stream_order) do
  local batch = streams[stream]
  batch[1] = array_header(#batch - 1)
  redis.call('XADD', KEYS[tonumber(stream)], '*', 'b', table.concat(batch))
end
for i = 0, bells - 1 do
  if streams[ARGV[bells_at + 2 * i]] then redis.call('PUBLISH', ARGV[3], ARGV[bells_at + 2 * i + 1]) end
end
return finish({all_effects, whole(now_ms), journal_id})
