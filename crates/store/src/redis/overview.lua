-- Where a canvas stands, with the last change of each painted chunk when ARGV[1] is 'chunks'.
--
-- Answer: DONE, epoch, sequence, then each painted chunk's key and last change.

local canvas, why = read_canvas()
if not canvas then return { why } end
local answer = { DONE, canvas.epoch, digits(canvas.sequence) }
if ARGV[1] == 'chunks' then
  for _, value in ipairs(redis.call('HGETALL', canvas.keys .. 'changed')) do
    answer[#answer + 1] = value
  end
end
return answer
