-- What a person can take back and repeat, as `crates/canvas/src/history.rs` has it.
--
-- A history is a string, little-endian: the last act's time u48, how many steps at its end are taken
-- back u16, then its steps, oldest first: chunk key u16, index in the chunk u16, and what the pixel
-- showed before and after, each its bytes and sequence u48. A placement only appends; it is cut to the
-- newest steps when there are twice as many as needed, and written anew by a walk.

local HISTORY_STEPS_MAX, HISTORY_KEPT_MS = 1000, 3600000
local HISTORY_HEAD_BYTES, SEQUENCE_BYTES, PLACE_BYTES = 8, 6, 4
-- Its expiry is put off once in so long, so that most placements need not.
local HISTORY_REFRESH_MS = 60000
-- The turns, each by the refusal of who has nothing to walk.
local UNDO, REDO = 'U', 'D'

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
  if math.floor(at / HISTORY_REFRESH_MS) ~= math.floor(now / HISTORY_REFRESH_MS) then
    redis.call('PEXPIRE', key, history_expiry(grace))
  end
end

-- What walking `count` steps would paint; writes nothing. Sequences are compared as bytes, by their
-- names before the walk: what it paints has none yet.
local function plan_walk(keys, key, turn, count, pixel_bytes, now)
  local history = redis.call('GET', key) or ''
  local walk = { turn = turn, pixels = {}, steps = {}, walked = {}, done = 0 }
  local at, undone = history_head(history, now)
  if not at then return walk end
  local width = step_bytes(pixel_bytes)
  local total = (#history - HISTORY_HEAD_BYTES) / width
  local skipped = math.max(total - HISTORY_STEPS_MAX, 0)
  local state_bytes = pixel_bytes + SEQUENCE_BYTES
  walk.at = at
  for number = skipped, total - 1 do
    local from = HISTORY_HEAD_BYTES + number * width + 1
    walk.steps[#walk.steps + 1] = string.sub(history, from, from + width - 1)
  end
  walk.done = #walk.steps - undone
  local shown = {}
  local ahead = turn == UNDO and walk.done or undone
  for number = 1, ahead do
    if #walk.pixels == count then break end
    local index = turn == UNDO and walk.done + 1 - number or walk.done + number
    local step = walk.steps[index]
    local place = string.sub(step, 1, PLACE_BYTES)
    local before = string.sub(step, PLACE_BYTES + 1, PLACE_BYTES + state_bytes)
    local after = string.sub(step, -state_bytes)
    local from, to = before, after
    if turn == UNDO then from, to = after, before end
    local chunk_key, pixel = struct.unpack('<I2I2', place)
    if not shown[place] then
      shown[place] = redis.call('GETRANGE', keys .. 'm:' .. digits(chunk_key), pixel * 16,
        pixel * 16 + SEQUENCE_BYTES - 1)
    end
    walk.walked[index] = shown[place] == string.sub(from, -SEQUENCE_BYTES)
    if walk.walked[index] then
      shown[place] = string.sub(to, -SEQUENCE_BYTES)
      walk.pixels[#walk.pixels + 1] = {
        key = chunk_key, index = pixel, color = string.sub(to, 1, pixel_bytes), name = place .. shown[place],
      }
    end
  end
  return walk
end

-- The steps after the walk, those dropped that it passed, and how many of them are taken back.
-- `rename` gives a step's states the names that the walk gave them.
local function steps_after(walk, rename)
  local kept, passed = {}, 0
  for index, step in ipairs(walk.steps) do
    if walk.walked[index] == false then passed = passed + 1 else kept[#kept + 1] = rename(step) end
  end
  local done = walk.done
  if walk.turn == UNDO then done = done - passed - #walk.pixels else done = done + #walk.pixels end
  return table.concat(kept), #kept - done
end

-- Keeps what the walk did; each of its pixels has the sequence that it was painted under.
local function keep_walk(key, walk, pixel_bytes, now, grace)
  local names = {}
  for _, one in ipairs(walk.pixels) do names[one.name] = struct.pack('<I6', one.sequence) end
  local before_at = PLACE_BYTES + pixel_bytes
  local after_at = before_at + SEQUENCE_BYTES + pixel_bytes
  local function rename(step)
    local place = string.sub(step, 1, PLACE_BYTES)
    local function name(from)
      local sequence = string.sub(step, from + 1, from + SEQUENCE_BYTES)
      return names[place .. sequence] or sequence
    end
    return string.sub(step, 1, before_at) .. name(before_at)
      .. string.sub(step, before_at + SEQUENCE_BYTES + 1, after_at) .. name(after_at)
  end
  local steps, undone = steps_after(walk, rename)
  write_history(key, steps, undone, now, grace)
end

-- Drops the steps that a walk passed which paints nothing, so that nobody looks at them again.
local function forget_passed(key, walk)
  if next(walk.walked) == nil then return end
  local steps, undone = steps_after(walk, function(step) return step end)
  redis.call('SET', key, struct.pack('<I6I2', walk.at, undone) .. steps, 'KEEPTTL')
end
