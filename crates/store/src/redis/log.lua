-- The log of a canvas: a stream whose entry of sequences first to last has the ID `last-0`.
--
-- An entry has one field, `e`, little-endian: version u8 = 1, kind u8, ends_at u64 (how many bytes
-- of entries the log had taken, this one included, since its beginning), epoch 8 bytes, at u64,
-- first u64, body, and the first 8 hex digits of the SHA-1 of all before.

local ENTRY_VERSION = 1
local ENTRY_HEAD_BYTES, ENTRY_CHECKSUM_BYTES = 34, 8

-- The first entry that ends at `sequence` or later: its last, its first, where it starts and ends
-- in bytes of log; nil when there is none.
local function entry_from(log, sequence)
  local found = redis.call('XRANGE', log, digits(sequence) .. '-0', '+', 'COUNT', 1)[1]
  if not found then return nil end
  local last = tonumber(string.match(found[1], '^%d+'))
  local body = found[2][2]
  local ends_at = struct.unpack('<I8', body, 3)
  local first = struct.unpack('<I8', body, 27)
  return last, first, ends_at - #body, ends_at
end

-- The earliest sequence such that the entries after it start at byte `wanted` of the log or
-- later, by bisection; `top` is the canvas' last sequence.
local function position_from_byte(log, wanted, top)
  local last, first, starts_at = entry_from(log, 0)
  if not last then return top end
  if starts_at >= wanted then return first - 1 end
  -- What starts too early ends at `low`; the entry of `high`, if there is one, does not.
  local low, high = last, top + 1
  while high - low > 1 do
    local middle = math.floor((low + high) / 2)
    local found, _, starts = entry_from(log, middle)
    if not found or starts >= wanted then high = middle else low = found end
  end
  return low
end
