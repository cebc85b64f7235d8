-- Puts every pixel back to the background under a fresh epoch, if nothing was painted since the
-- differences were read.
--
-- ARGV: 1 life · 2 the sequence they were read at, or '' where none are listed · 3 fresh epoch, 8 bytes · 4 clock of tests or ''
--   5 retention in bytes · 6 how many sequences it takes · 7 the body for the log
-- Answer: DONE, epoch, sequence; or MOVED.

local ERAS_MAX, ERA_BYTES = 16, 16
local RESET = 2

local canvas, refusal = canvas_to_write()
if not canvas then return refusal end
if canvas.life ~= ARGV[1] then return { MOVED } end
if ARGV[2] ~= '' and ARGV[2] ~= digits(canvas.sequence) then return { MOVED } end
local now = clock(ARGV[4], tonumber(redis.call('HGET', CANVAS, 'at')))
begin_epoch_if_rolled_back(canvas, ARGV[3])
local first, last = canvas.sequence + 1, canvas.sequence + tonumber(ARGV[6])
local era = ARGV[3] .. struct.pack('<I8', last)
-- One that began by itself just now is replaced: it held for nothing.
local before = canvas.epoch == ARGV[3] and '' or canvas.eras
canvas.epoch, canvas.eras = ARGV[3], string.sub(before .. era, -ERAS_MAX * ERA_BYTES)
redis.call('HSET', CANVAS, 'epoch', canvas.epoch, 'eras', canvas.eras)
-- What people painted before cannot be taken back: their histories have other keys.
redis.call('HINCRBY', CANVAS, 'resets', 1)
append(canvas, RESET, first, last, now, ARGV[7], tonumber(ARGV[5]))
for _, field in ipairs(redis.call('HKEYS', canvas.keys .. 'changed')) do
  redis.call('UNLINK', canvas.keys .. 'c:' .. field, canvas.keys .. 'm:' .. field)
end
redis.call('UNLINK', canvas.keys .. 'changed')
return { DONE, canvas.epoch, digits(last) }
