"""The loads: the behaviour of the agent and of the client, and the required result."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tests.support.raw_client import Step as ClientStep
from tests.support.scripted_gateway import LAST_WORD, OPENING, Step, closing, failure, flat, frame, text

Words = Sequence[str]


@dataclass(frozen=True)
class Load:
    """One kind of request."""

    weight: int
    """The relative frequency among all loads."""
    plays: Callable[[Words], list[Step]]
    """The steps of the agent, for these words."""
    words: int = 20
    succeeds: bool = True
    """Whether the client gets the whole answer; else it must get an error."""
    leaves: ClientStep | None = None
    """How the client disconnects early; None if it does not."""
    lasting: bool = False
    """The request uses a named session, which keeps its history."""


def well(words: Words) -> list[Step]:
    return [*OPENING, *DEBUGGING, *map(text, words), *closing()]


def slowly(words: Words) -> list[Step]:
    return flat([OPENING, *([0.02, text(word)] for word in words), closing()])


def in_lumps(words: Words) -> list[Step]:
    """Many frames in one write, cut anywhere."""
    whole = b"".join(step for step in well(words) if isinstance(step, bytes))
    cut = random.Random(len(whole)).randrange(1, len(whole))
    return [whole[:cut], 0.001, whole[cut:]]


def up_to(end: Step) -> Callable[[Words], list[Step]]:
    """A run that sends half of its text and then breaks."""
    return lambda words: [*OPENING, *map(text, words[: len(words) // 2]), end]


def fails_at_once(_words: Words) -> list[Step]:
    return [*OPENING, failure("boom")]


def garbled(words: Words) -> list[Step]:
    return [*OPENING, text(words[0]), b'data: {"event":"tick_end","data":{\n\n', LAST_WORD]


DEBUGGING = [frame("compiled", system="x" * 20_000), frame("provider_request", body="y" * 20_000)]

LOADS: dict[str, Load] = {
    "short": Load(20, well, words=3),
    "usual": Load(20, well, words=60),
    "long": Load(4, well, words=1000),
    "slow": Load(6, slowly),
    "in lumps": Load(8, in_lumps, words=200),
    "lasting": Load(6, well, lasting=True),
    "failing at once": Load(4, fails_at_once, succeeds=False),
    "failing in the middle": Load(4, up_to(failure("boom")), succeeds=False),
    "cut": Load(4, up_to("cut"), succeeds=False),
    "reset": Load(4, up_to("reset"), succeeds=False),
    "ending early": Load(4, up_to(b": no last word\n\n"), succeeds=False),
    "stalling": Load(3, up_to("stall"), succeeds=False),
    "garbled": Load(4, garbled, succeeds=False),
    "left by close": Load(4, slowly, leaves="close"),
    "left by reset": Load(4, slowly, leaves="reset"),
    "left by half-close": Load(2, slowly, leaves="half-close"),
    "left, lasting": Load(2, slowly, leaves="reset", lasting=True),
}


def asked(prompt: str) -> tuple[Load, int]:
    """The load and the number of a prompt `NAME/NUMBER`."""
    name, _, number = prompt.partition("/")
    return LOADS[name], int(number)


def words_of(load: Load, number: int) -> list[str]:
    """Words of which none repeats, so that lost, doubled and foreign words are noticed."""
    return [f"{number}.{place} " for place in range(load.words)]
