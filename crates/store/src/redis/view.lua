-- Some chunks with the position that they are exact at.
--
-- ARGV: the chunks' keys, in digits
-- Answer: DONE, the canvas, life, epoch, sequence, then for each chunk its last change and its
-- pixels, both empty when it was never painted.

local canvas, why = read_canvas()
if not canvas then return { why } end
local answer = { DONE, redis.call('HGET', CANVAS, 'canvas'), canvas.life, canvas.epoch, digits(canvas.sequence) }
for _, field in ipairs(ARGV) do
  answer[#answer + 1] = redis.call('HGET', canvas.keys .. 'changed', field) or ''
  answer[#answer + 1] = redis.call('GET', canvas.keys .. 'c:' .. field) or ''
end
return answer
