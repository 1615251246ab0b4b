-- One turn of an upstream's dispatcher: the results of the last turn and the intents of the next, in one step.
-- include: _session _records _lists
-- KEYS[1] session   KEYS[2] journal   KEYS[3] changes   KEYS[4] depth   KEYS[5] later   KEYS[6] rest   KEYS[7] hooks
-- KEYS[8] ready     KEYS[9] asks     KEYS[10] gone     then every other key, named below by its number in KEYS
-- ARGV[3] upstream   ARGV[4] what the depth changes by   ARGV[5] bell channel   ARGV[6] hot state in seconds
-- ARGV[7] journal blob of ResultRecords or ''   ARGV[8] blob of CallbackRecords for the hooks or ''
-- ARGV[9] journal blob of MessageRecords that were replaced or ''
--         then lists, each led by its length:
--         intents (open key, field, value, message id), settled (open key, field), finished (queue, open key, entry id),
--         later (due ms, member), rest to set (id, blob), rest to delete (id),
--         ends (state key, id, state, stream key or 0, callback), bells (stream key, payload),
--         refunds (acct key, refunded key, id, micros), answers to asks (id, answer), ids that are gone, ids that were
--         dropped because they were gone, state keys that are kept for longer (state key, seconds)
-- REPLY   {now_ms, journal id or '', refunds made (a digit each), '' or indexes of intents that were withheld because the
--         message has a change request, '' or ids (8 bytes each) whose change request came too late, '' or a digit for
--         each end: 1 told, 0 a receipt had ended the message, so that nothing is told, paid back or kept of this end}
local list = lists(10)
local intents, intents_at = list(4)
local settled, settled_at = list(2)
local finished, finished_at = list(3)
local later, later_at = list(2)
local rests, rests_at = list(2)
local unrests, unrests_at = list(1)
local ends, ends_at = list(5)
local bells, bells_at = list(2)
local refunds, refunds_at = list(4)
local answers, answers_at = list(2)
local gone, gone_at = list(1)
local dropped, dropped_at = list(1)
local kept, kept_at = list(2)

local told, is_over, said = {}, {}, ''
for i = 0, ends - 1 do
  local at = ends_at + 5 * i
  local id = ARGV[at + 1]
  told[i + 1] = '1'
  if redis.call('HEXISTS', KEYS[tonumber(ARGV[at])], id) == 1 then
    told[i + 1], is_over[id] = '0', true
  end
end
if next(is_over) then said = table.concat(told) end

local withheld, late = {}, {}
local held_back = {}
if redis.call('EXISTS', KEYS[3]) == 1 then
  for i = 0, intents - 1 do
    if redis.call('HEXISTS', KEYS[3], ARGV[intents_at + 4 * i + 3]) == 1 then
      held_back[i] = true
      withheld[#withheld + 1] = i
    end
  end
  for i = 0, ends - 1 do
    local id = ARGV[ends_at + 5 * i + 1]
    local is_cancelled = ARGV[ends_at + 5 * i + 2] == '9' and not is_over[id]
    if redis.call('HDEL', KEYS[3], id) == 1 and not is_cancelled then late[#late + 1] = id end
  end
end

local made, asked = {}, {}
for i = 0, refunds - 1 do
  local at = refunds_at + 4 * i
  local id = ARGV[at + 2]
  local known = asked[id] or is_over[id] or redis.call('SISMEMBER', KEYS[tonumber(ARGV[at + 1])], id) == 1
  asked[id] = true
  made[#made + 1] = known and '0' or '1'
end
local refunds_made = table.concat(made)

local journal_id = ''
if ARGV[7] ~= '' then
  if said == '' then
    journal_id = redis.call('XADD', KEYS[2], '*', 'k', 'T', 'b', ARGV[7], 'e', refunds_made)
  else
    journal_id = redis.call('XADD', KEYS[2], '*', 'k', 'T', 'b', ARGV[7], 'e', refunds_made, 'r', said)
  end
end
if ARGV[9] ~= '' then
  journal_id = redis.call('XADD', KEYS[2], '*', 'k', 'P', 'b', ARGV[9])
end
for i = 0, refunds - 1 do
  if made[i + 1] == '1' then
    local at = refunds_at + 4 * i
    local set = KEYS[tonumber(ARGV[at + 1])]
    redis.call('SADD', set, ARGV[at + 2])
    redis.call('EXPIRE', set, 1296000)
    redis.call('HINCRBY', KEYS[tonumber(ARGV[at])], 'balance', ARGV[at + 3])
  end
end
local batch, current = {}, nil
for i = 0, intents - 1 do
  if not held_back[i] then
    local at = intents_at + 4 * i
    if ARGV[at] ~= current then
      if #batch > 0 then chunked('HSET', KEYS[tonumber(current)], batch) end
      batch, current = {}, ARGV[at]
    end
    batch[#batch + 1] = ARGV[at + 1]
    batch[#batch + 1] = ARGV[at + 2]
  end
end
if #batch > 0 then chunked('HSET', KEYS[tonumber(current)], batch) end
batch, current = {}, nil
for i = 0, settled - 1 do
  local at = settled_at + 2 * i
  if ARGV[at] ~= current then
    if #batch > 0 then chunked('HSET', KEYS[tonumber(current)], batch) end
    batch, current = {}, ARGV[at]
  end
  batch[#batch + 1] = ARGV[at + 1]
  batch[#batch + 1] = 'd'
end
if #batch > 0 then chunked('HSET', KEYS[tonumber(current)], batch) end
for i = 0, later - 1 do
  redis.call('ZADD', KEYS[5], ARGV[later_at + 2 * i], ARGV[later_at + 2 * i + 1])
end
for i = 0, rests - 1 do
  redis.call('HSET', KEYS[6], ARGV[rests_at + 2 * i], ARGV[rests_at + 2 * i + 1])
end
for i = 0, unrests - 1 do
  redis.call('HDEL', KEYS[6], ARGV[unrests_at + i])
end
local touched = {}
for i = 0, finished - 1 do
  local at = finished_at + 3 * i
  local queue = KEYS[tonumber(ARGV[at])]
  redis.call('XDEL', queue, ARGV[at + 2])
  redis.call('UNLINK', KEYS[tonumber(ARGV[at + 1])])
  touched[queue] = true
end
for queue in pairs(touched) do
  if redis.call('XLEN', queue) == 0 then
    redis.call('DEL', queue)
    redis.call('SREM', KEYS[8], queue)
  end
end
if ARGV[8] ~= '' then
  redis.call('XADD', KEYS[7], '*', 'b', ARGV[8])
  redis.call('PUBLISH', ARGV[5], 'h')
end
local streams, stream_order = {}, {}
for i = 0, ends - 1 do
  local at = ends_at + 5 * i
  if told[i + 1] == '1' then
    local name, stream = KEYS[tonumber(ARGV[at])], ARGV[at + 3]
    redis.call('HSET', name, ARGV[at + 1], ARGV[at + 2])
    redis.call('EXPIRE', name, ARGV[6])
    if stream ~= '0' then
      if not streams[stream] then
        streams[stream] = {''}
        stream_order[#stream_order + 1] = stream
      end
      local callbacks = streams[stream]
      callbacks[#callbacks + 1] = ARGV[at + 4]
    end
  end
end
for i = 0, kept - 1 do redis.call('EXPIRE', KEYS[tonumber(ARGV[kept_at + 2 * i])], ARGV[kept_at + 2 * i + 1]) end
for _, stream in ipairs(stream_order) do
  local callbacks = streams[stream]
  callbacks[1] = array_header(#callbacks - 1)
  redis.call('XADD', KEYS[tonumber(stream)], '*', 'b', table.concat(callbacks))
end
for i = 0, bells - 1 do
  if streams[ARGV[bells_at + 2 * i]] then redis.call('PUBLISH', ARGV[5], ARGV[bells_at + 2 * i + 1]) end
end
for i = 0, answers - 1 do
  redis.call('HSET', KEYS[9], ARGV[answers_at + 2 * i], ARGV[answers_at + 2 * i + 1])
end
for i = 0, gone - 1 do redis.call('SADD', KEYS[10], ARGV[gone_at + i]) end
for i = 0, dropped - 1 do redis.call('SREM', KEYS[10], ARGV[dropped_at + i]) end
if ARGV[4] ~= '0' then redis.call('HINCRBY', KEYS[4], ARGV[3], ARGV[4]) end
return finish({whole(now_ms), journal_id, refunds_made, table.concat(withheld, ','), table.concat(late), said})
