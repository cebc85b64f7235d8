-- Makes a canvas where there is none.
--
-- ARGV: 1 life · 2 epoch, 8 bytes · 3 the canvas · 4 cooldown_us · 5 charges · 6 frozen, 0 or 1
-- Answer: DONE; or MOVED and the canvas that is there.

local canvas, why = read_canvas()
if canvas then return { MOVED, redis.call('HGET', CANVAS, 'canvas') } end
if why == OTHER_VERSION then return { why } end
redis.call('HSET', CANVAS, 'version', VERSION, 'life', ARGV[1], 'canvas', ARGV[3], 'revision', 0,
  'cooldown_us', ARGV[4], 'charges', ARGV[5], 'frozen', ARGV[6], 'rule', 0, 'sequence', 0, 'epoch', ARGV[2],
  'eras', ARGV[2] .. struct.pack('<I8', 0), 'replid', replication_id(), 'at', 0, 'ends_at', 0, 'trim_at', 0)
return { DONE }
