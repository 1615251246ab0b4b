-- Prelude of scripts whose arguments are lists, each led by its length.
-- lists(at) returns a reader that begins at ARGV[at]: read(width) gives how many items of `width` arguments the next list
-- has, and where in ARGV the first of them is.
local function lists(at)
  return function(width)
    local count = tonumber(ARGV[at])
    local first = at + 1
    at = first + count * width
    return count, first
  end
end
