-- Prelude of scripts that put records together.
-- The header of a msgpack array of `count` items, so that concatenated records become one array.
local function array_header(count)
  if count < 16 then
    return string.char(144 + count)
  end
  return string.char(220, math.floor(count / 256), count % 256)
end
