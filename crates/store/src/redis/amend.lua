-- Replaces what a host may change, if nobody else did since it was read.
--
-- ARGV: 1 life · 2 the revision read · 3 the canvas · 4 cooldown_us · 5 charges · 6 frozen, 0 or 1
-- Answer: DONE, or MOVED.

local canvas, refusal = canvas_to_write()
if not canvas then return refusal end
if canvas.life ~= ARGV[1] or canvas.revision ~= ARGV[2] then return { MOVED } end
-- Under another cooldown everybody starts afresh: its buckets have other keys.
local before = redis.call('HMGET', CANVAS, 'cooldown_us', 'charges')
if before[1] ~= ARGV[4] or before[2] ~= ARGV[5] then redis.call('HINCRBY', CANVAS, 'rule', 1) end
local revision = tonumber(canvas.revision) + 1
redis.call('HSET', CANVAS, 'canvas', ARGV[3], 'revision', digits(revision), 'cooldown_us', ARGV[4],
  'charges', ARGV[5], 'frozen', ARGV[6])
-- Wakes who reads the log.
redis.call('XADD', canvas.keys .. 'news', 'MAXLEN', 1, '*', 'revision', digits(revision))
return { DONE }
