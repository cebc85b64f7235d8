-- What a tail needs to go on: where the canvas stands, and the entries after its position.
--
-- ARGV: 1 the last sequence that the tail has · 2 the most entries
-- Answer: DONE, life, revision, the canvas, sequence, eras, the last of its news, then an ID and
-- an entry each.

local canvas, why = read_canvas()
if not canvas then return { why } end
local answer = { DONE, canvas.life, canvas.revision, redis.call('HGET', CANVAS, 'canvas'), digits(canvas.sequence), canvas.eras }
local news = redis.call('XREVRANGE', canvas.keys .. 'news', '+', '-', 'COUNT', 1)[1]
answer[#answer + 1] = news and news[1] or '0-0'
local found = redis.call('XRANGE', canvas.keys .. 'log', '(' .. ARGV[1] .. '-0', '+', 'COUNT', ARGV[2])
for _, entry in ipairs(found) do
  answer[#answer + 1] = entry[1]
  answer[#answer + 1] = entry[2][2]
end
return answer
