-- The earliest position of this epoch from which at most so many bytes of log follow.
--
-- ARGV: 1 the bytes
-- Answer: DONE, epoch, sequence.

local canvas, why = read_canvas()
if not canvas then return { why } end
local ends_at = tonumber(redis.call('HGET', CANVAS, 'ends_at'))
local from = position_from_byte(canvas.keys .. 'log', ends_at - tonumber(ARGV[1]), canvas.sequence)
-- The last era's beginning.
local began = struct.unpack('<I8', canvas.eras, #canvas.eras - 7)
return { DONE, canvas.epoch, digits(math.max(from, began)) }
