-- Makes a canvas of what was written under its life before, in place of one that nobody painted on, or
-- of any.
--
-- ARGV: 1 life · 2 epoch, 8 bytes · 3 the canvas · 4 cooldown_us · 5 charges · 6 frozen, 0 or 1
--   7 sequence · 8 '1' where one that was painted on makes room · 9 how many chunks there are
-- Answer: DONE; MOVED and the canvas that is in the way; or GONE where what was written has expired.

local before, why = read_canvas()
if why == OTHER_VERSION then return { why } end
if before then
  local refusal
  before, refusal = canvas_to_write()
  if not before then return refusal end
  local there = redis.call('HGET', CANVAS, 'canvas')
  if before.sequence > 0 and ARGV[8] ~= '1' then return { MOVED, there } end
  before.how = there == ARGV[3] and 'replaced' or ''
end
local keys = keys_of(ARGV[1])
local kept = { keys .. 'changed', keys .. 'authors', keys .. 'names' }
local chunks = redis.call('HKEYS', keys .. 'changed')
if #chunks ~= tonumber(ARGV[9]) then return { GONE } end
for _, field in ipairs(chunks) do
  local pixels, marks = keys .. 'c:' .. field, keys .. 'm:' .. field
  if redis.call('EXISTS', pixels, marks) < 2 then return { GONE } end
  kept[#kept + 1] = pixels
  kept[#kept + 1] = marks
end
if before then remove(before, before.how) end
for _, key in ipairs(kept) do redis.call('PERSIST', key) end
redis.call('HSET', CANVAS, 'version', VERSION, 'life', ARGV[1], 'canvas', ARGV[3], 'revision', 0,
  'cooldown_us', ARGV[4], 'charges', ARGV[5], 'frozen', ARGV[6], 'rule', 0, 'sequence', ARGV[7], 'epoch', ARGV[2],
  'eras', ARGV[2] .. struct.pack('<I8', tonumber(ARGV[7])), 'replid', replication_id(), 'at', 0, 'ends_at', 0,
  'trim_at', 0)
return { DONE }
