-- Keeps what lanes tell of accounts and merchants, and looks some up.
-- ARGV[1] how many to look up, ARGV[2] how many lanes tell, ARGV[3] the life of an entry and ARGV[4]
-- that of a head in ms. KEYS: a head and an entry for each to look up; then for each lane that tells
-- its head and its entries. ARGV then, for each of those lanes: its epoch and the time up to which it
-- tells, in ms of this node's clock, both as 16 digits; how many entries; the head, empty if there is
-- more to tell first; and the entries. Who tells of an earlier time than somebody did, as a late call
-- or an owner that lost its lane does, is not heard.
-- Returns for each to look up the head, the entry (false where there is none) and the time up to
-- which it was told; whether every lane that told was heard; and the time now in ms.
local key, arg = 0, 4
local function next_key()
    key = key + 1
    return KEYS[key]
end
local function next_arg()
    arg = arg + 1
    return ARGV[arg]
end

local found = {}
for i = 1, tonumber(ARGV[1]) do
    local head, entry = redis.call('GET', next_key()), next_key()
    if head then
        found[i] = {string.sub(head, 33), redis.call('GET', entry), string.sub(head, 17, 32)}
    else
        found[i] = {false, false, '0'}
    end
end
local heard = 1
for i = 1, tonumber(ARGV[2]) do
    local head_key, since, count, head = next_key(), next_arg(), tonumber(next_arg()), next_arg()
    local known = redis.call('GET', head_key)
    if known and string.sub(known, 1, 32) > since then
        heard = 0
        key, arg = key + count, arg + count
    else
        for j = 1, count do
            redis.call('SET', next_key(), next_arg(), 'PX', ARGV[3])
        end
        if #head > 0 then
            redis.call('SET', head_key, since .. head, 'PX', ARGV[4])
        end
    end
end
local now = redis.call('TIME')
return {found, heard, now[1] * 1000 + math.floor(now[2] / 1000)}
