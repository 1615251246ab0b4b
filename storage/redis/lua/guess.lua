-- Count wrong guesses of passwords by the peer and the system_id that they were for, over all workers.
-- KEYS[i] guesses of the peer of guess i, a hash: '=' and system_id, or '*' for the ids past the limit, to "count began_ms"
-- ARGV[1] guesses in a window   ARGV[2] window in ms   ARGV[3] ids that are told apart for a peer
-- ARGV[3+i] system_id of guess i
-- REPLY   {for each guess: its number in the window, 1 more than allowed when it must not count any more, then the ms
--         that are left of the window}
local clock = redis.call('TIME')
local now_ms = tonumber(clock[1]) * 1000 + math.floor(tonumber(clock[2]) / 1000)
local guesses_max, window_ms, ids_max = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])

local function forget_old(key)
  local fields = redis.call('HGETALL', key)
  for i = 1, #fields, 2 do
    local began = tonumber(string.match(fields[i + 1], ' (%d+)$'))
    if now_ms - began >= window_ms then redis.call('HDEL', key, fields[i]) end
  end
end

local reply = {}
for i, key in ipairs(KEYS) do
  local field = '=' .. ARGV[3 + i]
  local held = redis.call('HGET', key, field)
  if not held and redis.call('HLEN', key) >= ids_max then
    forget_old(key)
    if redis.call('HLEN', key) >= ids_max then
      field = '*'
      held = redis.call('HGET', key, field)
    end
  end
  local count, began = 0, now_ms
  if held then
    local parts = { string.match(held, '^(%d+) (%d+)$') }
    if now_ms - tonumber(parts[2]) < window_ms then count, began = tonumber(parts[1]), tonumber(parts[2]) end
  end
  if count < guesses_max then
    redis.call('HSET', key, field, string.format('%.0f %.0f', count + 1, began))
    redis.call('PEXPIRE', key, window_ms)
  end
  reply[#reply + 1] = count + 1
  reply[#reply + 1] = began + window_ms - now_ms
end
return reply
