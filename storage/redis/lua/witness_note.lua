-- Remembers the head of a shard's journal, unless another incarnation has taken over since.
-- KEYS[1]: the witness of a shard. ARGV: incarnation, seq, hash, 1 for a takeover.
local held = redis.call('HGET', KEYS[1], 'incarnation')
if held and held ~= ARGV[1] and ARGV[4] ~= '1' then
  return 0
end
redis.call('HSET', KEYS[1], 'incarnation', ARGV[1], 'seq', ARGV[2], 'hash', ARGV[3])
return 1
