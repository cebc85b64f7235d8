-- What scripts that write share: the store's clock, epochs, and the log's end.

-- Milliseconds; never less than at the canvas' last entry. `override` is the clock of tests.
local function clock(override, at)
  local now = tonumber(override)
  if not now then
    local time = redis.call('TIME')
    now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
  end
  return math.max(now, at)
end

-- How much longer than needed keys are kept. Whether what they hold still counts is always decided
-- by the script's clock, and a test's clock stands still while keys expire.
local function grace_ms(override)
  return override == '' and 1000 or 3600000
end

local function replication_id()
  return string.match(redis.call('INFO', 'replication'), 'master_replid:(%x+)')
end

-- History may have been rolled back when the server is another, or was restarted: then `fresh` is
-- the epoch from here on, nobody is led here from an epoch before, and that is stored before
-- anything is accepted.
local function begin_epoch_if_rolled_back(canvas, fresh)
  local id = replication_id()
  if id == redis.call('HGET', CANVAS, 'replid') then return end
  canvas.epoch = fresh
  canvas.eras = fresh .. struct.pack('<I8', canvas.sequence)
  redis.call('HSET', CANVAS, 'replid', id, 'epoch', canvas.epoch, 'eras', canvas.eras)
end

-- Adds an entry and remembers where the log stands. The log is trimmed each time it has grown by
-- a sixteenth of what is kept: whole nodes of the stream that lie below it.
local function append(canvas, kind, first, last, at, body, retention_bytes)
  local log = canvas.keys .. 'log'
  local state = redis.call('HMGET', CANVAS, 'ends_at', 'trim_at')
  local size = ENTRY_HEAD_BYTES + #body + ENTRY_CHECKSUM_BYTES
  local ends_at = tonumber(state[1]) + size
  local entry = string.char(ENTRY_VERSION, kind) .. struct.pack('<I8', ends_at) .. canvas.epoch
    .. struct.pack('<I8I8', at, first) .. body
  local checksum = string.sub(redis.sha1hex(entry), 1, ENTRY_CHECKSUM_BYTES)
  redis.call('XADD', log, digits(last) .. '-0', 'e', entry .. checksum)
  redis.call('HSET', CANVAS, 'sequence', digits(last), 'at', digits(at), 'ends_at', digits(ends_at))
  if ends_at >= tonumber(state[2]) then
    local keep = position_from_byte(log, ends_at - retention_bytes, last)
    redis.call('XTRIM', log, 'MINID', '~', digits(keep + 1) .. '-0', 'LIMIT', 0)
    redis.call('HSET', CANVAS, 'trim_at', digits(ends_at + math.floor(retention_bytes / 16)))
  end
end
