-- Decide on binds whose passwords were right, and say how many each account has at this worker. The numbers are absolute,
-- so a call that is repeated or whose reply was lost changes nothing that the next one does not put right.
-- KEYS[1] doors, a hash: worker to "boot until_ms"; a worker's binds count while its boot stands there and the time runs
-- KEYS[2] ... the hashes that ARGV[5] counts to, in its order: of each account its binds, worker to "boot tx rx trx",
--         then the guesses of the peer of each of its requests (see guess.lua)
-- ARGV[1] worker   ARGV[2] boot   ARGV[3] lease in ms
-- ARGV[4] msgpack {guesses in a window, window in ms, ids that are told apart for a peer}
-- ARGV[5] msgpack list of accounts {{tx, rx, trx that it has here}, {most of all, tx, rx, trx; -1 is no limit},
--         list of requests, each 1 tx, 2 rx or 3 trx}   ARGV[5+i] system_id of request i of all of them
-- REPLY   {for each account a string with a letter for each request: A bound, L the pair is locked, T too many in all,
--         K too many of this type}
local clock = redis.call('TIME')
local now_ms = tonumber(clock[1]) * 1000 + math.floor(tonumber(clock[2]) / 1000)
local worker, boot = ARGV[1], ARGV[2]
local guesses_max, window_ms, ids_max = unpack(cmsgpack.unpack(ARGV[4]))

local doors = {}
local listed = redis.call('HGETALL', KEYS[1])
for i = 1, #listed, 2 do
  local door, till = string.match(listed[i + 1], '^(%S+) (%d+)$')
  if tonumber(till) > now_ms then doors[listed[i]] = door else redis.call('HDEL', KEYS[1], listed[i]) end
end
redis.call('HSET', KEYS[1], worker, string.format('%s %.0f', boot, now_ms + tonumber(ARGV[3])))

local function is_locked(key, system_id)
  local field = '=' .. system_id
  local held = redis.call('HGET', key, field)
  if not held and redis.call('HLEN', key) >= ids_max then
    field = '*'
    held = redis.call('HGET', key, field)
  end
  if not held then return false end
  local count, began = string.match(held, '^(%d+) (%d+)$')
  if tonumber(count) >= guesses_max and now_ms - tonumber(began) < window_ms then return true end
  if field ~= '*' then redis.call('HDEL', key, field) end
  return false
end

local reply = {}
local at, asked = 1, 5
for _, account in ipairs(cmsgpack.unpack(ARGV[5])) do
  local here, limits, requests = account[1], account[2], account[3]
  at = at + 1
  local binds = KEYS[at]
  local elsewhere = { 0, 0, 0 }
  local held = redis.call('HGETALL', binds)
  for i = 1, #held, 2 do
    if held[i] ~= worker then
      local door, tx, rx, trx = string.match(held[i + 1], '^(%S+) (%d+) (%d+) (%d+)$')
      if doors[held[i]] == door then
        elsewhere = { elsewhere[1] + tx, elsewhere[2] + rx, elsewhere[3] + trx }
      else
        redis.call('HDEL', binds, held[i])
      end
    end
  end
  local verdicts = {}
  for _, kind in ipairs(requests) do
    at, asked = at + 1, asked + 1
    local total = here[1] + here[2] + here[3] + elsewhere[1] + elsewhere[2] + elsewhere[3]
    if is_locked(KEYS[at], ARGV[asked]) then
      verdicts[#verdicts + 1] = 'L'
    elseif limits[1] >= 0 and total >= limits[1] then
      verdicts[#verdicts + 1] = 'T'
    elseif limits[1 + kind] >= 0 and here[kind] + elsewhere[kind] >= limits[1 + kind] then
      verdicts[#verdicts + 1] = 'K'
    else
      here[kind] = here[kind] + 1
      verdicts[#verdicts + 1] = 'A'
    end
  end
  if here[1] + here[2] + here[3] > 0 then
    redis.call('HSET', binds, worker, string.format('%s %.0f %.0f %.0f', boot, here[1], here[2], here[3]))
  else
    redis.call('HDEL', binds, worker)
  end
  reply[#reply + 1] = table.concat(verdicts)
end
return reply
