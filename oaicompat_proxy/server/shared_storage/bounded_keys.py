"""Bounds the number of keys in Redis: a sorted set orders them by age, and the oldest are deleted."""

SET_BOUNDED = """
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
redis.call('ZADD', KEYS[2], ARGV[3], KEYS[1])
local over = redis.call('ZCARD', KEYS[2]) - tonumber(ARGV[4])
if over > 0 then
  for _, key in ipairs(redis.call('ZRANGE', KEYS[2], 0, math.min(over, 1000) - 1)) do
    redis.call('DEL', key)
    redis.call('ZREM', KEYS[2], key)
  end
end
return 1
"""
"""A Lua script. `KEYS`: the key, the sorted set. `ARGV`: value, milliseconds to live, score, largest number of keys."""

SET_BOUNDED_BY_OWNER = """
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
local size = string.len(ARGV[1])
redis.call('HINCRBY', KEYS[4], 'all', size - tonumber(redis.call('HGET', KEYS[4], KEYS[1]) or 0))
redis.call('HSET', KEYS[4], KEYS[1], size)
redis.call('ZADD', KEYS[2], ARGV[3], KEYS[1])
redis.call('ZADD', KEYS[3], ARGV[3], KEYS[1])
for _, key in ipairs({KEYS[3], KEYS[4]}) do
  if redis.call('PTTL', key) < tonumber(ARGV[2]) then redis.call('PEXPIRE', key, ARGV[2]) end
end
local function evict(key, set, sizes)
  redis.call('DEL', key)
  redis.call('ZREM', KEYS[2], key)
  redis.call('ZREM', set, key)
  redis.call('HINCRBY', sizes, 'all', 0 - tonumber(redis.call('HGET', sizes, key) or 0))
  redis.call('HDEL', sizes, key)
end
for _ = 1, 1000 do
  local over = redis.call('ZCARD', KEYS[3]) > tonumber(ARGV[5])
  if not over and tonumber(redis.call('HGET', KEYS[4], 'all')) <= tonumber(ARGV[6]) then break end
  local oldest = redis.call('ZRANGE', KEYS[3], 0, 0)[1]
  if not oldest or oldest == KEYS[1] then break end
  evict(oldest, KEYS[3], KEYS[4])
end
local excess = redis.call('ZCARD', KEYS[2]) - tonumber(ARGV[4])
if excess > 0 then
  for _, key in ipairs(redis.call('ZRANGE', KEYS[2], 0, math.min(excess, 1000) - 1)) do
    local owner = string.match(key, '^(.*):')
    evict(key, owner .. ':set', owner .. ':sizes')
  end
end
return 1
"""
"""A Lua script. `KEYS`: the key, the sorted set of all keys, the owner's sorted set and hash of sizes. A key is its
owner's prefix, a colon, and a name. The owner's set and hash are that prefix with `:set` and `:sizes`. `ARGV`: value,
milliseconds to live, score, largest number of all keys, of the owner's keys, and of their bytes.
"""

REPLACE_BOUNDED_BY_OWNER = (
    """
local found = redis.call('GET', KEYS[1])
if (found and redis.sha1hex(found) or '') ~= ARGV[7] then return 0 end
"""
    + SET_BOUNDED_BY_OWNER
)
"""Like SET_BOUNDED_BY_OWNER, but only if the key's value has not changed.

`ARGV[7]`: the SHA-1 of the old value in hexadecimal digits; empty if there must be none."""

DELETE_OF_OWNER = """
for _, key in ipairs({unpack(KEYS, 4)}) do
  redis.call('DEL', key)
  redis.call('ZREM', KEYS[1], key)
  redis.call('ZREM', KEYS[2], key)
  redis.call('HINCRBY', KEYS[3], 'all', 0 - tonumber(redis.call('HGET', KEYS[3], key) or 0))
  redis.call('HDEL', KEYS[3], key)
end
return 1
"""
"""A Lua script. `KEYS`: the sorted set of all keys, the owner's sorted set and hash of sizes, the keys to delete."""
