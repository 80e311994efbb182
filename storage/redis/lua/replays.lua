-- Looks answers up, keeps new ones, and drops marks of calls that came to nothing.
-- KEYS: those to look up, then those to keep, then those to drop.
-- ARGV[1] how many to look up, ARGV[2] how many to keep, ARGV[3] this gateway's mark, ARGV[4] the
-- life of a mark and ARGV[5] that of an answer in ms, then an answer for each key to keep.
-- Returns what was found for each key to look up. Where there was nothing, the mark stands now.
local looks, keeps, mark = tonumber(ARGV[1]), tonumber(ARGV[2]), ARGV[3]
local found = {}
for i = 1, looks do
    found[i] = redis.call('SET', KEYS[i], mark, 'NX', 'GET', 'PX', ARGV[4])
end
for i = 1, keeps do
    redis.call('SET', KEYS[looks + i], ARGV[5 + i], 'PX', ARGV[5])
end
for i = looks + keeps + 1, #KEYS do
    if redis.call('GET', KEYS[i]) == mark then
        redis.call('DEL', KEYS[i])
    end
end
return found
