-- Ask for the cancellation of messages that were admitted although their customer was refused, and put that on record.
-- The turn that would record their intent decides it. Idempotent, no session.
-- include: _records
-- KEYS[1] changes   KEYS[2] journal   then for each message with a request key the idempotency hashes of the current and
--         of the previous window
-- ARGV[1] number of messages   then (id of 8 bytes, ResultRecord, request key or '') each
-- REPLY   {journal id or '', 8-byte ids that are not cancelled...}: a copy of their request has been told yes
-- The request key of what is cancelled is forgotten, so that a later copy of the request is a new message.
local records, kept, key = {''}, {}, 3
local wanted = {}
for i = 0, tonumber(ARGV[1]) - 1 do
  local id, field = ARGV[3 * i + 2], ARGV[3 * i + 4]
  local is_confirmed = false
  if field ~= '' then
    local mark = '\0' .. field
    is_confirmed = redis.call('HEXISTS', KEYS[key], mark) == 1 or redis.call('HEXISTS', KEYS[key + 1], mark) == 1
    key = key + 2
  end
  if is_confirmed then
    kept[#kept + 1] = id
  elseif redis.call('HEXISTS', KEYS[1], id) == 0 then
    wanted[#wanted + 1] = {id = id, field = field, current = KEYS[key - 2], before = KEYS[key - 1]}
    records[#records + 1] = ARGV[3 * i + 3]
  end
end
if #wanted == 0 then return {'', unpack(kept)} end
records[1] = array_header(#wanted)
local journal_id = redis.call('XADD', KEYS[2], '*', 'k', 'T', 'b', table.concat(records), 'e', '')
for _, asked in ipairs(wanted) do
  redis.call('HSET', KEYS[1], asked.id, 'cancel')
  if asked.field ~= '' then
    redis.call('HDEL', asked.current, asked.field)
    redis.call('HDEL', asked.before, asked.field)
  end
end
redis.call('EXPIRE', KEYS[1], 1987200)
return {journal_id, unpack(kept)}
