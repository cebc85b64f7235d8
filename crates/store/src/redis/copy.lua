-- One chunk with its marks, and the position that it is exact at.
--
-- ARGV: 1 the chunk's key, in digits
-- Answer: DONE, the canvas, life, epoch, sequence, the chunk's last change, its pixels and its marks,
-- all empty when it was never painted.

local canvas, why = read_canvas()
if not canvas then return { why } end
return {
  DONE, redis.call('HGET', CANVAS, 'canvas'), canvas.life, canvas.epoch, digits(canvas.sequence),
  redis.call('HGET', canvas.keys .. 'changed', ARGV[1]) or '',
  redis.call('GET', canvas.keys .. 'c:' .. ARGV[1]) or '',
  redis.call('GET', canvas.keys .. 'm:' .. ARGV[1]) or '',
}
