"""The Lua scripts of `claims`; Redis runs each atomically."""

from __future__ import annotations

from ..shared_storage.bounded_keys import SET_BOUNDED

_DETECT_LOSS = """
local function detect_loss(heartbeat, loss, heartbeat_ttl, grace)
  if redis.call('EXISTS', heartbeat) == 0 then redis.call('SET', loss, '1', 'PX', grace) end
  redis.call('SET', heartbeat, '1', 'PX', heartbeat_ttl)
  return redis.call('EXISTS', loss)
end
"""

ACQUIRE = (
    _DETECT_LOSS
    + """
local found = redis.call('GET', KEYS[1])
if found then
  redis.call('SET', KEYS[3], '1', 'PX', ARGV[5])
  return {found, redis.call('PTTL', KEYS[1])}
end
if detect_loss(KEYS[4], KEYS[5], ARGV[6], ARGV[7]) == 1 then return 'lost' end
"""
    + SET_BOUNDED
)
"""`KEYS`: claim, all claims, followers, HEARTBEAT, LOSS. `ARGV`: value, milliseconds to live, score, most claims,
FOLLOWER_TTL, HEARTBEAT_TTL, GRACE.
"""

LOOK_FOR_LOSS = (
    _DETECT_LOSS
    + """
return detect_loss(KEYS[1], KEYS[2], ARGV[1], ARGV[2])
"""
)

RENEW = """
local followed = {}
for number = 1, #KEYS, 2 do
  local value = ARGV[(number + 1) / 2 + 1]
  if (redis.call('GET', KEYS[number]) or value) == value then redis.call('SET', KEYS[number], value, 'PX', ARGV[1]) end
  if redis.call('EXISTS', KEYS[number + 1]) == 1 then followed[#followed + 1] = value end
end
return followed
"""
"""`KEYS`: claim and followers, for each. `ARGV`: milliseconds to live, then the value of each."""

END = """
if (redis.call('GET', KEYS[1]) or ARGV[1]) ~= ARGV[1] then return end
if ARGV[2] == '' then redis.call('DEL', KEYS[1]) else redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3]) end
"""
"""`ARGV`: the value of the running claim, the value of the ended claim (empty: delete it), milliseconds to live."""
