"""Requests that clients repeat. Pure: a section of the settings."""

from dataclasses import dataclass

from ..fields import field
from ..types import Count, PositiveCount, Seconds


@dataclass(frozen=True, kw_only=True)
class IdempotencySettings:
    idempotency_ttl: Seconds = field(
        600.0,
        "Seconds that the answer to a request with an `Idempotency-Key`, or with the turn id of a client such as "
        "Codex, is stored: programs repeat a request within seconds, people within minutes.",
        gateway=True,
        reload=False,
    )
    idempotency_grace: Seconds = field(
        30.0,
        "Seconds that the run of a request with an `Idempotency-Key` continues while no client reads it, with a turn "
        "id at most 8; the official clients return within 8 s.",
        gateway=True,
        reload=False,
    )
    response_grace: Seconds = field(
        8.0,
        "Seconds that the run of a streamed response with `store` continues while no client reads it, so that the "
        "stream can be taken up again. A lost connection and a person who stops an answer look the same. A run with "
        "`background` continues to its end.",
        gateway=True,
        reload=False,
    )
    max_idempotent: PositiveCount = field(
        1000,
        "Requests with an `Idempotency-Key` or a turn id that are remembered; beyond that a caller's oldest request is "
        "forgotten.",
        gateway=True,
        reload=False,
    )
    max_idempotent_answer: Count = field(
        4 * 1024 * 1024,
        "Bytes of a stored answer, about twelve thousand chunks. A longer answer reaches the clients that are reading "
        "it, and no later one.",
        gateway=True,
        reload=False,
    )
    max_idempotent_bytes: Count = field(
        64 * 1024 * 1024, "Bytes of all stored answers; the oldest are dropped first.", gateway=True, reload=False
    )
