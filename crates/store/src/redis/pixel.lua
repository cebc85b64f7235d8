-- One pixel, with who painted it.
--
-- ARGV: 1 life · 2 the chunk's key · 3 the pixel's first byte · 4 its last · 5 its mark's first byte
-- Answer: DONE, the pixel's bytes, its mark, its author's name; empty where there is none.

local canvas, why = read_canvas()
if not canvas then return { why } end
if canvas.life ~= ARGV[1] then return { MOVED } end
local pixel = redis.call('GETRANGE', canvas.keys .. 'c:' .. ARGV[2], ARGV[3], ARGV[4])
local mark = redis.call('GETRANGE', canvas.keys .. 'm:' .. ARGV[2], ARGV[5], tonumber(ARGV[5]) + 15)
local name = ''
if #mark == 16 then
  name = redis.call('HGET', canvas.keys .. 'names', digits(struct.unpack('<I4', mark, 13))) or ''
end
return { DONE, pixel, mark, name }
