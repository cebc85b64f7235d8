-- What a person can take back and repeat, as `crates/canvas/src/history.rs` has it.
--
-- A history is a string, little-endian: the last act's time u48, how many steps at its end are taken
-- back u16, then its steps, oldest first: chunk key u16, index in the chunk u16, and what the pixel
-- showed before and after, each its bytes and sequence u48. A placement only appends; it is cut to the
-- newest steps when there are twice as many as needed. A walk changes the steps that it walked, in
-- place, unless it passed some that are dropped: then it is written anew.

local HISTORY_STEPS_MAX, HISTORY_KEPT_MS = 1000, 3600000
local HISTORY_HEAD_BYTES, SEQUENCE_BYTES, PLACE_BYTES = 8, 6, 4
-- Its expiry is put off once in so long, so that most placements need not.
local HISTORY_REFRESH_MS = 60000
-- The turns, each by the refusal of who has nothing to walk.
local UNDO, REDO = 'U', 'D'
-- The sequence of what nobody painted.
local NEVER_PAINTED = string.rep('\0', SEQUENCE_BYTES)

local function step_bytes(pixel_bytes)
  return PLACE_BYTES + 2 * (pixel_bytes + SEQUENCE_BYTES)
end

-- The head's fields, or nil where there is no history or it is too old to count.
local function history_head(history, now)
  if #history < HISTORY_HEAD_BYTES then return nil end
  local at, undone = struct.unpack('<I6I2', history)
  if at + HISTORY_KEPT_MS < now then return nil end
  return at, undone
end

local function history_expiry(grace)
  return digits(HISTORY_KEPT_MS + HISTORY_REFRESH_MS + grace)
end

local function write_history(key, steps, undone, now, grace)
  redis.call('SET', key, struct.pack('<I6I2', now, undone) .. steps, 'PX', history_expiry(grace))
end

-- Puts its expiry off, if the last act, at `at`, was not in this minute.
local function keep_longer(key, at, now, grace)
  if math.floor(at / HISTORY_REFRESH_MS) ~= math.floor(now / HISTORY_REFRESH_MS) then
    redis.call('PEXPIRE', key, history_expiry(grace))
  end
end

-- Adds the steps of a placement; what was taken back cannot be repeated any more.
local function add_steps(key, steps, pixel_bytes, now, grace)
  local added, width = table.concat(steps), step_bytes(pixel_bytes)
  local at, undone = history_head(redis.call('GETRANGE', key, 0, HISTORY_HEAD_BYTES - 1), now)
  if not at then return write_history(key, added, 0, now, grace) end
  if undone > 0 then
    local history = redis.call('GET', key)
    return write_history(key, string.sub(history, HISTORY_HEAD_BYTES + 1, -undone * width - 1) .. added, 0, now, grace)
  end
  local length = redis.call('APPEND', key, added)
  if length > HISTORY_HEAD_BYTES + 2 * HISTORY_STEPS_MAX * width then
    return write_history(key, redis.call('GETRANGE', key, -HISTORY_STEPS_MAX * width, -1), 0, now, grace)
  end
  redis.call('SETRANGE', key, 0, struct.pack('<I6', now))
  keep_longer(key, at, now, grace)
end

-- What walking `count` steps would paint; writes nothing. Sequences are compared as bytes, by their
-- names before the walk: what it paints has none yet. Only steps on the way are cut out of the
-- history: they lie side by side from byte `from` to before byte `to`.
local function plan_walk(keys, key, turn, count, pixel_bytes, now)
  local history = redis.call('GET', key) or ''
  local walk = { turn = turn, pixels = {}, dropped = {} }
  local at, undone = history_head(history, now)
  if not at then return walk end
  local width, state_bytes = step_bytes(pixel_bytes), pixel_bytes + SEQUENCE_BYTES
  walk.history, walk.at, walk.undone, walk.width = history, at, undone, width
  walk.oldest = math.max(HISTORY_HEAD_BYTES, #history - HISTORY_STEPS_MAX * width)
  walk.from = #history - undone * width
  walk.to = walk.from
  local shown = {}
  while #walk.pixels < count do
    local step_at
    if turn == UNDO then
      if walk.from == walk.oldest then break end
      walk.from = walk.from - width
      step_at = walk.from
    else
      if walk.to == #history then break end
      step_at = walk.to
      walk.to = walk.to + width
    end
    local place = string.sub(history, step_at + 1, step_at + PLACE_BYTES)
    local before_at = step_at + PLACE_BYTES
    local after_at = before_at + state_bytes
    local here, there = before_at, after_at
    if turn == UNDO then here, there = after_at, before_at end
    local function sequence(state_at)
      return string.sub(history, state_at + pixel_bytes + 1, state_at + state_bytes)
    end
    local chunk_key, pixel = struct.unpack('<I2I2', place)
    if not shown[place] then
      shown[place] = redis.call('GETRANGE', keys .. 'm:' .. digits(chunk_key), pixel * 16,
        pixel * 16 + SEQUENCE_BYTES - 1)
    end
    if shown[place] == sequence(here) then
      shown[place] = sequence(there)
      walk.pixels[#walk.pixels + 1] = {
        key = chunk_key, index = pixel, color = string.sub(history, there + 1, there + pixel_bytes),
        place = place, name = shown[place], named_at = there + pixel_bytes,
      }
    else
      walk.dropped[#walk.dropped + 1] = step_at
    end
  end
  return walk
end

-- The steps after the walk without those that it passed.
local function steps_left(walk)
  local dropped, left, from = walk.dropped, {}, walk.oldest
  local first, last, by = 1, #dropped, 1
  if walk.turn == UNDO then first, last, by = last, first, -1 end
  for number = first, last, by do
    left[#left + 1] = string.sub(walk.history, from + 1, dropped[number])
    from = dropped[number] + walk.width
  end
  left[#left + 1] = string.sub(walk.history, from + 1)
  return table.concat(left)
end

-- Where the history names what one of the walk's pixels showed before: in the step walked, and, since
-- a sequence is of one pixel, wherever else it stands as a step's before or after at that pixel. No
-- other step knows a pixel that nobody had painted.
local function names_of(walk, one, pixel_bytes)
  local found = { one.named_at }
  if one.name == NEVER_PAINTED then return found end
  local before_at = PLACE_BYTES + pixel_bytes
  local after_at = before_at + SEQUENCE_BYTES + pixel_bytes
  local at = walk.oldest
  while true do
    local start = string.find(walk.history, one.name, at + 1, true)
    if not start then return found end
    at = start
    local name_at = start - 1
    local within = (name_at - HISTORY_HEAD_BYTES) % walk.width
    local step_at = name_at - within
    if name_at ~= one.named_at and (within == before_at or within == after_at)
      and string.sub(walk.history, step_at + 1, step_at + PLACE_BYTES) == one.place then
      found[#found + 1] = name_at
    end
  end
end

-- The history's bytes after `from` up to `to`, with the names that they are given, by where they stand.
local function renamed(history, from, to, names)
  local places, pieces = {}, {}
  for at in pairs(names) do
    if at >= from and at < to then places[#places + 1] = at end
  end
  table.sort(places)
  for _, at in ipairs(places) do
    pieces[#pieces + 1] = string.sub(history, from + 1, at) .. names[at]
    from = at + SEQUENCE_BYTES
  end
  pieces[#pieces + 1] = string.sub(history, from + 1, to)
  return table.concat(pieces)
end

-- Keeps what the walk did; each of its pixels has the sequence that it was painted under, which is
-- from now on the name of what it shows.
local function keep_walk(key, walk, pixel_bytes, now, grace)
  local names = {}
  for _, one in ipairs(walk.pixels) do
    local name = struct.pack('<I6', one.sequence)
    for _, at in ipairs(names_of(walk, one, pixel_bytes)) do names[at] = name end
  end
  local undone = walk.undone + (walk.turn == UNDO and #walk.pixels or -#walk.pixels - #walk.dropped)
  if #walk.dropped > 0 then
    walk.history = string.sub(walk.history, 1, walk.oldest)
      .. renamed(walk.history, walk.oldest, #walk.history, names)
    return write_history(key, steps_left(walk), undone, now, grace)
  end
  redis.call('SETRANGE', key, 0, struct.pack('<I6I2', now, undone))
  redis.call('SETRANGE', key, walk.from, renamed(walk.history, walk.from, walk.to, names))
  for at, name in pairs(names) do
    if at < walk.from or at >= walk.to then redis.call('SETRANGE', key, at, name) end
  end
  keep_longer(key, walk.at, now, grace)
end

-- Drops the steps that a walk passed which is not done, so that nobody looks at them again: a step
-- that cannot be walked never can be.
local function forget_passed(key, walk)
  if #walk.dropped == 0 then return end
  local undone = walk.undone - (walk.turn == REDO and #walk.dropped or 0)
  redis.call('SET', key, struct.pack('<I6I2', walk.at, undone) .. steps_left(walk), 'KEEPTTL')
end
