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
