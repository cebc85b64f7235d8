-- Paints pixels again, with their marks, in a life that no canvas has yet.
--
-- ARGV: 1 life · 2 bytes of a pixel · 3 a blank pixel · 4 seconds until it is given up · 5 the chunks
--   painted: key u16 and pixel count u32 each · 6 for each pixel: the chunk's number in this call u16,
--   index in the chunk u16, the pixel's bytes, its mark
-- Answer: DONE.

local keys, pixel_bytes = keys_of(ARGV[1]), tonumber(ARGV[2])
local chunks = {}
for offset = 1, #ARGV[5], 6 do
  local key, count = struct.unpack('<I2I4', ARGV[5], offset)
  local chunk = { pixels = keys .. 'c:' .. digits(key), marks = keys .. 'm:' .. digits(key) }
  if redis.call('EXISTS', chunk.pixels, chunk.marks) < 2 then
    redis.call('SET', chunk.pixels, string.rep(ARGV[3], count), 'EX', ARGV[4])
    redis.call('SET', chunk.marks, string.rep('\0', count * 16), 'EX', ARGV[4])
  end
  chunks[#chunks + 1] = chunk
end
for offset = 1, #ARGV[6], 20 + pixel_bytes do
  local number, index = struct.unpack('<I2I2', ARGV[6], offset)
  local chunk = chunks[number + 1]
  redis.call('SETRANGE', chunk.pixels, index * pixel_bytes, string.sub(ARGV[6], offset + 4, offset + 3 + pixel_bytes))
  redis.call('SETRANGE', chunk.marks, index * 16,
    string.sub(ARGV[6], offset + 4 + pixel_bytes, offset + 19 + pixel_bytes))
end
return { DONE }
