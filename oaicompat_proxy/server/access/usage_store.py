"""Counts of tokens and runs by key and user, per day and month: in this process, or in Redis.

The number of counts is bounded: further users of a key are counted together.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple, Protocol

from ...core.budget import Period, Unit
from ..shared_storage.checksums import report_damage
from ..shared_storage.redis_client import mapped_errors

if TYPE_CHECKING:
    from ..shared_storage.bounded_redis import BoundedRedis

MAX_SUBJECTS = 100_000
"""Keys and users of a period with counts of their own."""

KEPT_PERIODS = 3
"""Days, and months, that the memory of a process keeps."""

KEPT_AFTER = 40 * 24 * 3600
"""Seconds for which Redis keeps the counts of a period that has ended."""


class Subject(NamedTuple):
    """A key, or one of its users. `user`: "" for the key itself, None for all users without a count of their own."""

    key: str
    user: str | None = ""


class Check(NamedTuple):
    """A limit that has to hold before a run begins."""

    period: Period
    unit: Unit
    subject: Subject
    limit: int
    pending: int = 0
    """The estimated usage of the subject's unfinished runs in this process."""


class Count(NamedTuple):
    tokens: int = 0
    runs: int = 0


NOTHING = Count()


class UsageStore(Protocol):
    """All methods may raise StoreUnavailable."""

    async def begin(
        self, checks: Sequence[Check], subjects: Sequence[Subject], periods: Sequence[Period]
    ) -> tuple[int, list[int]]:
        """Counts a run of each subject if all limits hold. Returns the index of the first check that fails, or -1, and
        what was used of each limit before.
        """
        ...

    async def add(self, subjects: Sequence[Subject], periods: Sequence[Period], added: Count) -> None:
        """Adds tokens and runs, also negative ones."""
        ...

    async def counts(self, period: Period) -> Mapping[Subject, Count]: ...


class MemoryUsage:
    """The counts of one process, empty at its start."""

    def __init__(self, *, max_subjects: int = MAX_SUBJECTS) -> None:
        self._max_subjects = max_subjects
        self._counts: dict[Period, dict[Subject, Count]] = {}

    async def begin(
        self, checks: Sequence[Check], subjects: Sequence[Subject], periods: Sequence[Period]
    ) -> tuple[int, list[int]]:
        used: list[int] = [getattr(self._count(each.period, each.subject), each.unit) for each in checks]
        for place, (check, count) in enumerate(zip(checks, used, strict=True)):
            if count + check.pending >= check.limit:
                return place, used
        await self.add(subjects, periods, Count(runs=1))
        return -1, used

    async def add(self, subjects: Sequence[Subject], periods: Sequence[Period], added: Count) -> None:
        for period in periods:
            for subject in subjects:
                counts, known = self._find(period, subject)
                count = counts.get(known, NOTHING)
                counts[known] = Count(count.tokens + added.tokens, count.runs + added.runs)

    async def counts(self, period: Period) -> Mapping[Subject, Count]:
        return dict(self._counts.get(period, {}))

    def _count(self, period: Period, subject: Subject) -> Count:
        counts, known = self._find(period, subject)
        return counts.get(known, NOTHING)

    def _find(self, period: Period, subject: Subject) -> tuple[dict[Subject, Count], Subject]:
        """The counts of the period, and the subject under which `subject` is counted there."""
        counts = self._counts.get(period)
        if counts is None:
            counts = self._counts[period] = {}
            self._forget(period.kind)
        if subject.user and subject not in counts and len(counts) >= self._max_subjects:
            subject = Subject(subject.key, None)
        return counts, subject

    def _forget(self, kind: str) -> None:
        """Drops all but the last days or months; a run may still end in the one before."""
        known = sorted((each for each in self._counts if each.kind == kind), key=lambda each: each.ends)
        for period in known[:-KEPT_PERIODS]:
            del self._counts[period]


_PREFIX = "oaicompat:usage:"

# Each period is a hash; a field is the unit's letter and the subject in JSON. `place` returns the field in which a
# subject is counted: its own, or, if there are too many, that of all others of its key.
_PLACE = """
local function place(hash, unit, field, others)
  if redis.call('HEXISTS', hash, unit .. field) == 1 then return unit .. field end
  if redis.call('HLEN', hash) < tonumber(ARGV[1]) then return unit .. field end
  return unit .. others
end
"""

_BEGIN = (
    _PLACE
    + """
local used, refused, at = {}, -1, 4
for index = 1, tonumber(ARGV[2]) do
  local hash = KEYS[tonumber(ARGV[at])]
  local count = tonumber(redis.call('HGET', hash, place(hash, ARGV[at + 1], ARGV[at + 2], ARGV[at + 3])) or '0')
  used[index] = count
  if refused < 0 and count + tonumber(ARGV[at + 5]) >= tonumber(ARGV[at + 4]) then refused = index - 1 end
  at = at + 6
end
if refused < 0 then
  for index = 1, tonumber(ARGV[3]) do
    for _, hash in ipairs(KEYS) do redis.call('HINCRBY', hash, place(hash, 'r', ARGV[at], ARGV[at + 1]), 1) end
    at = at + 2
  end
  for index, hash in ipairs(KEYS) do redis.call('EXPIREAT', hash, ARGV[at + index - 1]) end
end
return {refused, used}
"""
)

_ADD = (
    _PLACE
    + """
local at = 5
for index = 1, tonumber(ARGV[4]) do
  for _, hash in ipairs(KEYS) do
    if ARGV[2] ~= '0' then redis.call('HINCRBY', hash, place(hash, 't', ARGV[at], ARGV[at + 1]), ARGV[2]) end
    if ARGV[3] ~= '0' then redis.call('HINCRBY', hash, place(hash, 'r', ARGV[at], ARGV[at + 1]), ARGV[3]) end
  end
  at = at + 2
end
for index, hash in ipairs(KEYS) do redis.call('EXPIREAT', hash, ARGV[at + index - 1]) end
return 1
"""
)


class RedisUsage:
    """The counts of all processes that share a Redis. Checking limits and counting a run is atomic."""

    def __init__(self, redis: BoundedRedis, *, max_subjects: int = MAX_SUBJECTS) -> None:
        self._redis = redis
        self._max_subjects = 2 * max_subjects
        """Largest number of fields in a hash."""
        self._begin = redis.register_script(_BEGIN)
        self._add = redis.register_script(_ADD)

    async def begin(
        self, checks: Sequence[Check], subjects: Sequence[Subject], periods: Sequence[Period]
    ) -> tuple[int, list[int]]:
        arguments: list[str | int] = [self._max_subjects, len(checks), len(subjects)]
        for check in checks:
            number = 1 + periods.index(check.period)
            arguments += [number, check.unit[0], *_fields(check.subject), check.limit, check.pending]
        arguments += [field for each in subjects for field in _fields(each)]
        with mapped_errors():
            refused, used = await self._begin(_hashes(periods), [*arguments, *_expiries(periods)])
        return int(refused), [int(each) for each in used]

    async def add(self, subjects: Sequence[Subject], periods: Sequence[Period], added: Count) -> None:
        fields = [field for each in subjects for field in _fields(each)]
        arguments: list[str | int] = [
            self._max_subjects,
            added.tokens,
            added.runs,
            len(subjects),
            *fields,
            *_expiries(periods),
        ]
        with mapped_errors():
            await self._add(_hashes(periods), arguments)

    async def counts(self, period: Period) -> Mapping[Subject, Count]:
        with mapped_errors():
            fields = await self._redis.hgetall(_PREFIX + period.name)
        counts: dict[Subject, Count] = {}
        for field, value in fields.items():
            try:
                subject, count = _subject_of(field[1:]), int(value)
            except (ValueError, TypeError):
                report_damage(_PREFIX + period.name)
                continue
            before = counts.get(subject, NOTHING)
            counts[subject] = before._replace(**{"tokens" if field[:1] == b"t" else "runs": count})
        return counts


def _hashes(periods: Sequence[Period]) -> list[str]:
    return [_PREFIX + each.name for each in periods]


def _expiries(periods: Sequence[Period]) -> list[int]:
    """Unix times at which the counts expire, in the future even if the clock is far behind."""
    return [int(max(each.ends, time.time()) + KEPT_AFTER) for each in periods]


def _subject_of(field: bytes | str) -> Subject:
    """Raises ValueError or TypeError for a field that is none of ours."""
    key, user = json.loads(field)
    if not (isinstance(key, str) and isinstance(user, str | None)):
        raise TypeError(field)
    return Subject(key, user)


def _fields(subject: Subject) -> tuple[str, str]:
    """The subject's own field without the unit, and the field for all further users of its key."""
    own = json.dumps(subject)
    return own, json.dumps(Subject(subject.key, None)) if subject.user else own
