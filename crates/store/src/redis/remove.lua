-- Removes a canvas with all it holds, but for records, limits and histories, which expire by themselves.

-- Long enough to wake who reads the log.
local NEWS_KEPT_MS = 60000
-- Longer than an outage: who comes back learns that nothing was lost, and does not make the canvas again.
local DELETION_KEPT_MS = 3600000

-- `how` is '' for a canvas that is deleted, and 'replaced' for one in whose place is another like it.
local function remove(canvas, how)
  redis.call('XADD', canvas.keys .. 'news', 'MAXLEN', 1, '*', 'deleted', '')
  redis.call('PEXPIRE', canvas.keys .. 'news', NEWS_KEPT_MS)
  redis.call('SET', canvas.keys .. 'deleted', how, 'PX', DELETION_KEPT_MS)
  for _, field in ipairs(redis.call('HKEYS', canvas.keys .. 'changed')) do
    redis.call('UNLINK', canvas.keys .. 'c:' .. field, canvas.keys .. 'm:' .. field)
  end
  local rest = { 'changed', 'authors', 'names', 'log' }
  for _, name in ipairs(rest) do redis.call('UNLINK', canvas.keys .. name) end
  redis.call('UNLINK', CANVAS)
end
