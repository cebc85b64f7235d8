-- What every script begins with: a canvas' keys, and how its numbers are written.
--
-- KEYS[1] is the canvas' hash, `pp:{id}`. Every other key of the canvas begins with it and the
-- canvas' life, so all of them share its tag, hence its slot, and a canvas deleted and made again
-- finds nothing of the one before. Numbers stay below 2^53, where Lua's are exact; those that
-- may not be (epochs) travel as bytes.

local CANVAS = KEYS[1]
-- The version of everything kept for a canvas but its log entries, which carry their own.
local VERSION = '1'

-- What a script answers first.
local GONE, OTHER_VERSION, MOVED, DONE = 'gone', 'version', 'moved', 'done'

-- An integer in digits; `..` alone would round it to 14.
local function digits(integer)
  return string.format('%.0f', integer)
end

local function keys_of(life)
  return CANVAS .. ':' .. life .. ':'
end

-- The hash's fields that decide, or nil and the answer that says why not.
local function read_canvas()
  local f = redis.call('HMGET', CANVAS, 'version', 'life', 'sequence', 'epoch', 'eras', 'revision')
  if not f[1] then return nil, GONE end
  if f[1] ~= VERSION then return nil, OTHER_VERSION end
  return {
    life = f[2], sequence = tonumber(f[3]), epoch = f[4], eras = f[5], revision = f[6],
    keys = keys_of(f[2]),
  }
end

-- The same for a script that writes to a canvas that is there; without one: what the script answers.
-- While a cluster moves the canvas' slot, its node refuses every access to a key that it lacks, whether
-- that left already or never was: a script would end where it meets the first such, with half of it
-- written. So it meets one before it writes anything, and refuses the whole. Elsewhere this asks for
-- nothing.
local function canvas_to_write()
  local canvas, why = read_canvas()
  if not canvas then return nil, { why } end
  local nothing = redis.pcall('EXISTS', canvas.keys .. 'nothing')
  if type(nothing) == 'table' then return nil, redis.error_reply('TRYAGAIN the slot is on the move') end
  return canvas
end
