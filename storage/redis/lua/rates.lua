-- Counts calls that were let in, after the generic cell rate algorithm.
-- KEYS: buckets. ARGV, three for each: calls since the last report, µs that one call is worth, and
-- the most that a bucket may be behind, in µs.
-- Returns for each how far it is behind now, in µs: it is empty again after so long without calls.
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local behind = {}
for i, key in ipairs(KEYS) do
    local calls, worth, most = ARGV[3 * i - 2], ARGV[3 * i - 1], ARGV[3 * i]
    local full_at = math.max(tonumber(redis.call('GET', key) or 0), now) + calls * worth
    full_at = math.min(full_at, now + most)
    behind[i] = full_at - now
    if behind[i] > 0 then
        redis.call('SET', key, string.format('%.0f', full_at), 'PX', math.ceil(behind[i] / 1000))
    end
end
return behind
