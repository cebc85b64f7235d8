-- Decides a whole call and paints what is accepted, as the embedded store's ledger does.
--
-- Places and colours were checked against the canvas' size and palette, which are fixed for its
-- life; that it is still that life is checked here. Then, for each submission in order:
-- idempotency, frozen, steps to take back or repeat, limits, cooldown, room for its record. Nothing
-- is written for a submission that is refused, but that steps are forgotten that nobody can take
-- back or repeat any more.
--
-- ARGV: 1 life · 2 fresh epoch, 8 bytes · 3 clock of tests or '' · 4 retention in bytes
--   5 limits: identity interval_us, burst, address interval_us, burst (0: none), guests per
--     address, u64 each
--   6 bytes of a pixel · 7 a blank pixel · 8 the chunks painted: key u16 and pixel count u32 each
--   then two for each submission: what decides (see below), and its body for the log.
-- Answer: DONE, (now, cooldown interval_us, burst) u64 each, then a string for each submission.

local RECORD_CLIENT_MS, RECORD_GATEWAY_MS, RECORDS_CLIENT_MAX = 600000, 60000, 10000
local BUSY_WAIT_MS = 10000
local AUTHORS_MAX = 1000000
local PAINTED = 1

local canvas, refusal = canvas_to_write()
if not canvas then return refusal end
if canvas.life ~= ARGV[1] then return { MOVED } end
local override, retention = ARGV[3], tonumber(ARGV[4])
local state = redis.call('HMGET', CANVAS, 'at', 'cooldown_us', 'charges', 'frozen', 'rule', 'resets')
local now = clock(override, tonumber(state[1]))
local now_us, grace = now * 1000, grace_ms(override)
local cooldown = { interval = tonumber(state[2]), burst = tonumber(state[3]) }
if cooldown.interval == 0 then cooldown = nil end
local frozen, rule_number = state[4] == '1', state[5]
-- A canvas of a version before has no such field until it is reset.
local histories = canvas.keys .. 'u:' .. (state[6] or '0') .. ':'
begin_epoch_if_rolled_back(canvas, ARGV[2])

local function rate(interval, burst)
  return interval > 0 and { interval = interval, burst = burst } or nil
end
local a, b, c, d, guests_per_address = struct.unpack('<I8I8I8I8I8', ARGV[5])
local identity_rate, address_rate = rate(a, b), rate(c, d)
local shared_cooldown = nil
if cooldown then
  local guests = math.max(guests_per_address, 1)
  shared_cooldown = rate(math.ceil(cooldown.interval / guests), cooldown.burst * guests)
end

local pixel_bytes, blank = tonumber(ARGV[6]), ARGV[7]
-- Chunks by their number in this call.
local chunks = {}
for offset = 1, #ARGV[8], 6 do
  local key, pixels = struct.unpack('<I2I4', ARGV[8], offset)
  chunks[#chunks + 1] = {
    key = key, field = digits(key), pixels = canvas.keys .. 'c:' .. digits(key),
    marks = canvas.keys .. 'm:' .. digits(key), count = pixels,
  }
end

local function bucket(key)
  return tonumber(redis.call('GET', key) or 0)
end

local function keep_bucket(key, full_at)
  redis.call('SET', key, digits(full_at), 'PX', digits(math.ceil((full_at - now_us) / 1000) + grace))
end

-- What the bucket holds after taking `count`, or nil and the milliseconds that are missing.
local function take(rule, full_at, count)
  local after = math.max(full_at, now_us) + rule.interval * count
  local latest = now_us + rule.interval * rule.burst
  if after <= latest then return after end
  return nil, math.ceil((after - latest) / 1000)
end

-- The author's cooldown. A new guest's is empty when the guest is made.
local function cooldown_of(s)
  if not cooldown then return 0 end
  local full_at = bucket(s.identity_cooldown)
  if full_at <= now_us then
    full_at = s.since and s.since * 1000 + cooldown.interval * cooldown.burst or 0
  end
  return full_at
end

local function accepted(first, count, epoch, at, full_at)
  return 'A' .. struct.pack('<I8I4', first, count) .. epoch .. struct.pack('<I8I8', at, full_at)
end

-- What is remembered of the submissions accepted in this call, by its key: the record, and for how
-- long in milliseconds. Written after the log, so that no record speaks for an entry that is not there.
local records = {}

-- What was answered under this key before; written again, so that who waits for replicas waits for
-- this record.
local function recall(s)
  local of_this_call = records[s.record]
  local record = of_this_call and of_this_call.bytes or redis.call('GET', s.record)
  if not record then return nil end
  local first, count = struct.unpack('<I8I4', record, 17)
  local epoch, at = string.sub(record, 29, 36), struct.unpack('<I8', record, 37)
  local kept_ms = string.byte(record, 45) == 1 and RECORD_CLIENT_MS or RECORD_GATEWAY_MS
  if at + kept_ms < now then return nil end
  if string.sub(record, 1, 16) ~= s.fingerprint then return 'K' end
  if not of_this_call then redis.call('SET', s.record, record, 'KEEPTTL') end
  return accepted(first, count, epoch, at, cooldown_of(s))
end

-- Asks every limit: what each would hold, or nil and the refusal.
local function ask(s)
  local of_address = s.address and address_rate or nil
  local shared = s.address and shared_cooldown or nil
  for _, rule in ipairs({ identity_rate or false, of_address or false, cooldown or false, shared or false }) do
    if rule and s.count > rule.burst then
      return nil, 'N' .. struct.pack('<I8I8', s.count, rule.burst)
    end
  end
  local taken = {}
  local function take_both(kind, first_rule, first_key, first_full_at, second_rule, second_key)
    local wait = 0
    local function one(rule, key, full_at)
      if not rule then return end
      local after, missing = take(rule, full_at, s.count)
      if after then taken[#taken + 1] = { key, after } else wait = math.max(wait, missing) end
      return after
    end
    local after = one(first_rule, first_key, first_full_at)
    one(second_rule, second_key, second_rule and bucket(second_key))
    if wait > 0 then return nil, kind .. struct.pack('<I8', wait) end
    return after or 0
  end
  local passed, refusal = take_both('R', identity_rate, s.identity_rate,
    identity_rate and bucket(s.identity_rate), of_address, s.address_rate)
  if not passed then return nil, refusal end
  local cooled
  cooled, refusal = take_both('C', cooldown, s.identity_cooldown, cooldown_of(s), shared, s.address_cooldown)
  if not cooled then return nil, refusal end
  return taken, nil, cooled
end

-- Whether one more record can be kept for who chose the key.
local function has_room(s)
  if not s.client_key then return true end
  redis.call('ZREMRANGEBYSCORE', s.client_keys, '-inf', '(' .. digits(now))
  return redis.call('ZCARD', s.client_keys) < RECORDS_CLIENT_MAX
end

-- The author's number, given when first asked for; 0 when there are too many.
local function author(s)
  local authors, who = canvas.keys .. 'authors', s.identity .. s.name
  local number = redis.call('HGET', authors, who)
  if number then return tonumber(number) end
  number = redis.call('HLEN', authors) + 1
  if number > AUTHORS_MAX then return 0 end
  redis.call('HSET', authors, who, digits(number))
  redis.call('HSET', canvas.keys .. 'names', digits(number), s.name)
  return number
end

local changed = {}

-- The chunk of this number in the call, allocated when it is first painted.
local function painted_chunk(number)
  local chunk = chunks[number + 1]
  if not changed[chunk.field] and redis.call('HEXISTS', canvas.keys .. 'changed', chunk.field) == 0 then
    redis.call('SET', chunk.pixels, string.rep(blank, chunk.count))
    redis.call('SETRANGE', chunk.marks, chunk.count * 16 - 1, '\0')
  end
  return chunk
end

-- Paints one pixel under the next sequence.
local function paint_pixel(chunk, index, color, author_number)
  local sequence = canvas.sequence + 1
  redis.call('SETRANGE', chunk.pixels, index * pixel_bytes, color)
  redis.call('SETRANGE', chunk.marks, index * 16, struct.pack('<I6I6I4', sequence, now, author_number))
  changed[chunk.field] = sequence
  canvas.sequence = sequence
end

-- Paints placements, and remembers what they covered.
local function paint(s, argument)
  local number, offset, steps = author(s), s.pixels_at, {}
  for _ = 1, s.count do
    local chunk_number, index = struct.unpack('<I2I2', argument, offset)
    local chunk = painted_chunk(chunk_number)
    local color = string.sub(argument, offset + 4, offset + 3 + pixel_bytes)
    local before = redis.call('GETRANGE', chunk.pixels, index * pixel_bytes, (index + 1) * pixel_bytes - 1)
      .. redis.call('GETRANGE', chunk.marks, index * 16, index * 16 + SEQUENCE_BYTES - 1)
    paint_pixel(chunk, index, color, number)
    steps[#steps + 1] = struct.pack('<I2I2', chunk.key, index) .. before .. color
      .. struct.pack('<I6', canvas.sequence)
    offset = offset + 4 + pixel_bytes
  end
  add_steps(histories .. s.identity, steps, pixel_bytes, now, grace)
end

-- Paints what a walk over the author's steps says; answers with the submission's body for the log.
local function paint_walk(s, walk, argument, body)
  local number, placements = author(s), {}
  local width = struct.unpack('<I4', argument, s.pixels_at)
  for _, one in ipairs(walk.pixels) do
    local field = digits(one.key)
    local chunk = {
      field = field, pixels = canvas.keys .. 'c:' .. field, marks = canvas.keys .. 'm:' .. field,
    }
    paint_pixel(chunk, one.index, one.color, number)
    one.sequence = canvas.sequence
    local cx, cy = one.key % 256, math.floor(one.key / 256)
    local chunk_width = math.min(256, width - cx * 256)
    local rgb = one.color
    if pixel_bytes == 1 then
      local from = s.pixels_at + 4 + string.byte(one.color) * 3
      rgb = string.sub(argument, from, from + 2)
    end
    placements[#placements + 1] = struct.pack('<I2I2', cx * 256 + one.index % chunk_width,
      cy * 256 + math.floor(one.index / chunk_width)) .. rgb
  end
  keep_walk(histories .. s.identity, walk, pixel_bytes, now, grace)
  -- In place of no placements.
  return string.sub(body, 1, -3) .. struct.pack('<I2', #placements) .. table.concat(placements)
end

-- flags u8 (1 address, 2 since, 4 key, 8 the client's, 16 undo, 32 redo) · identity 16 · address
-- 16 · since u64 · key 16 · fingerprint 16 · count u16 · name (u8 length, text), then for each
-- placement: the chunk's number in this call u16, index in the chunk u16, the pixel's bytes; or for
-- an undo or redo: the canvas' width u32 and its palette, 3 bytes each.
local function read_submission(argument)
  local flags = string.byte(argument, 1)
  local function has(bit_value) return math.floor(flags / bit_value) % 2 == 1 end
  local identity, address = string.sub(argument, 2, 17), string.sub(argument, 18, 33)
  local name_bytes = string.byte(argument, 76)
  local keys = canvas.keys
  local s = {
    identity = identity, address = has(1) and address or nil, client_key = has(8),
    since = has(2) and struct.unpack('<I8', argument, 34) or nil,
    key = has(4) and string.sub(argument, 42, 57) or nil,
    fingerprint = string.sub(argument, 58, 73), count = struct.unpack('<I2', argument, 74),
    name = string.sub(argument, 77, 76 + name_bytes), pixels_at = 77 + name_bytes,
    turn = has(16) and UNDO or has(32) and REDO or nil,
    identity_rate = keys .. 'ri:' .. identity, address_rate = keys .. 'ra:' .. address,
    identity_cooldown = keys .. 'ci:' .. rule_number .. ':' .. identity,
    address_cooldown = keys .. 'ca:' .. rule_number .. ':' .. address,
    client_keys = keys .. 'k:' .. identity,
  }
  s.record = s.key and keys .. 'r:' .. identity .. s.key
  return s
end

local first_of_call = canvas.sequence + 1
local bodies = {}

local function decide(argument, body)
  local s = read_submission(argument)
  local known = s.record and recall(s)
  if known then return known end
  if frozen then return 'F' end
  local walk
  if s.turn then
    walk = plan_walk(canvas.keys, histories .. s.identity, s.turn, s.count, pixel_bytes, now)
    s.count = #walk.pixels
  end
  local function refused(answer)
    if walk then forget_passed(histories .. s.identity, walk) end
    return answer
  end
  if walk and s.count == 0 then return refused(s.turn) end
  local taken, refusal, full_at = ask(s)
  if not taken then return refused(refusal) end
  if not has_room(s) then return refused('B' .. struct.pack('<I8', BUSY_WAIT_MS)) end
  local first = canvas.sequence + 1
  if walk then body = paint_walk(s, walk, argument, body) else paint(s, argument) end
  for _, one in ipairs(taken) do keep_bucket(one[1], one[2]) end
  if s.record then
    local kept_ms = s.client_key and RECORD_CLIENT_MS or RECORD_GATEWAY_MS
    local record = s.fingerprint .. struct.pack('<I8I4', first, s.count) .. canvas.epoch
      .. struct.pack('<I8', now) .. string.char(s.client_key and 1 or 0)
    records[s.record] = { bytes = record, kept_ms = kept_ms + grace }
    if s.client_key then
      redis.call('ZADD', s.client_keys, digits(now + kept_ms), s.key)
      redis.call('PEXPIRE', s.client_keys, digits(kept_ms + grace))
    end
  end
  bodies[#bodies + 1] = body
  return accepted(first, s.count, canvas.epoch, now, full_at)
end

local answer = { DONE, struct.pack('<I8I8I8', now, cooldown and cooldown.interval or 0, cooldown and cooldown.burst or 0) }
for index = 9, #ARGV, 2 do
  answer[#answer + 1] = decide(ARGV[index], ARGV[index + 1])
end
if #bodies > 0 then
  for field, sequence in pairs(changed) do
    redis.call('HSET', canvas.keys .. 'changed', field, digits(sequence))
  end
  local body = struct.pack('<I2', #bodies) .. table.concat(bodies)
  append(canvas, PAINTED, first_of_call, canvas.sequence, now, body, retention)
  for key, record in pairs(records) do
    redis.call('SET', key, record.bytes, 'PX', digits(record.kept_ms))
  end
end
return answer
