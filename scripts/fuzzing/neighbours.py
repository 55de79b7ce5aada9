"""Input near a seed, chosen by a seeded chance: for where there is no fuzzer, and for tests that must repeat."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence

from .places import HEADER

TOKENS = [
    *(b"\n\n", b"\r\n", b"\r", b"data: ", b"data:", b"event: ", b": ", b"\xef\xbb\xbf", b"\xe2\x80\xa8", b"\xf0\x9f"),
    *(
        b"null",
        b"true",
        b"{}",
        b"[]",
        b'""',
        b"-1",
        b"1e999",
        b"NaN",
        b'"\\ud83c"',
        b'\\"',
        b"\\",
        b'","',
        b"}}",
        b"\0",
    ),
    *(b'"runId":"r1"', b'"subagentRunId":"s1"', b'"RUN_STARTED"', b'"RUN_FINISHED"', b'"outcome":{"type":"interrupt"}'),
    *(b'"spawnPath":["s"]', b'"data":{}', b'"error":"x"', b'"event":"execution_end"', b'"shouldContinue":true'),
]
"""Byte sequences with a meaning for one of the parsers."""


def neighbours(seeds: Sequence[bytes], count: int, chance: random.Random) -> Iterator[bytes]:
    """This many inputs, each a seed with one to four changes and a random header."""
    for _ in range(count):
        data = bytearray(chance.choice(seeds))
        for _ in range(chance.randint(1, 4)):
            _change(data, chance, seeds)
        yield chance.randbytes(HEADER) + bytes(data[HEADER:])


def _change(data: bytearray, chance: random.Random, seeds: Sequence[bytes]) -> None:
    start = chance.randrange(len(data) + 1)
    stop = min(len(data), start + chance.choice((0, 1, 1, 4, 100)))
    other = chance.choice(seeds)
    at = chance.randrange(len(other))
    data[start:stop] = chance.choice(
        (
            b"",
            chance.randbytes(1),
            chance.choice(TOKENS),
            bytes(data[start:stop] * 2),
            other[at : at + stop - start + 50],
        )
    )
