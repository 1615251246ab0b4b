-- Prelude of every script that works for a role: fence, and answer a repeated call from what is stored.
-- KEYS[1] session hash of the role: epoch, seq, answer
-- ARGV[1] epoch   ARGV[2] sequence number of this call
-- REPLY   -FENCED when another epoch holds the role, -OUTOFSTEP when the number is neither the last nor the next;
--         the stored answer for the last number; else the script runs and must return finish(answer).
local session = redis.call('HMGET', KEYS[1], 'epoch', 'seq', 'answer')
if session[1] ~= ARGV[1] then
  return redis.error_reply('FENCED epoch is ' .. tostring(session[1]))
end
if session[2] == ARGV[2] then
  return cmsgpack.unpack(session[3])
end
if tonumber(ARGV[2]) ~= tonumber(session[2]) + 1 then
  return redis.error_reply('OUTOFSTEP last is ' .. tostring(session[2]))
end

local clock = redis.call('TIME')
local now_us = tonumber(clock[1]) * 1000000 + tonumber(clock[2])
local now_ms = math.floor(now_us / 1000)

local function whole(number)
  return string.format('%.0f', number)
end

local function finish(answer)
  redis.call('HSET', KEYS[1], 'seq', ARGV[2], 'answer', cmsgpack.pack(answer))
  return answer
end

-- Run a variadic command over items[first..last] in chunks that Lua's stack can hold.
local function chunked(command, key, items)
  local count = #items
  for first = 1, count, 1000 do
    redis.call(command, key, unpack(items, first, math.min(first + 999, count)))
  end
end
