-- The key that signs guests, the same for every process: the first one offered stays.
--
-- KEYS[1] is the key's own name. ARGV: 1 a fresh key
-- Answer: DONE, the key that holds.

redis.call('SET', KEYS[1], ARGV[1], 'NX')
return { 'done', redis.call('GET', KEYS[1]) }
