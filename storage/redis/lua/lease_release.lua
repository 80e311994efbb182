-- Gives a lease up, only if it is ours.
-- KEYS[1] the lease, ARGV[1] the owner. Returns 1 when it was ours.
if redis.call('GET', KEYS[1]) == ARGV[1] then
    return redis.call('DEL', KEYS[1])
end
return 0
