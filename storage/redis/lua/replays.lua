-- Looks answers up, and drops marks of calls that came to nothing.
-- KEYS: those to look up, then those to drop.
-- ARGV[1] how many to look up, ARGV[2] this gateway's mark, ARGV[3] the life of a mark in ms.
-- Returns what was found for each key to look up. Where there was nothing, the mark stands now.
local looks, mark = tonumber(ARGV[1]), ARGV[2]
local found = {}
for i = 1, looks do
    found[i] = redis.call('SET', KEYS[i], mark, 'NX', 'GET', 'PX', ARGV[3])
end
for i = looks + 1, #KEYS do
    if redis.call('GET', KEYS[i]) == mark then
        redis.call('DEL', KEYS[i])
    end
end
return found
