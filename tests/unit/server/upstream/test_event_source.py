"""When events that a reader holds back are flushed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

from oaicompat_proxy.dialects.protocol import Reader
from oaicompat_proxy.server.upstream.event_source import FlushTimer, UntilHeld


@dataclass
class Holding:
    """A reader, as far as the timer asks it."""

    flush_delay: float | None = 1.0
    flush_count: int = 0


def read_at(timer: FlushTimer, holding: Holding, *moments: float) -> list[float]:
    """The deadlines of reads at these times, up to the one that the timer forbids."""
    deadlines = []
    for now in moments:
        deadline = timer.deadline(cast(Reader, holding), now)
        if timer.is_over:
            break
        deadlines.append(deadline)
    return deadlines


def test_reads_share_one_deadline() -> None:
    assert read_at(FlushTimer(), Holding(), 10.0, 10.5, 10.9) == [11.0, 11.0, 11.0]


def test_one_read_after_the_deadline_takes_what_has_arrived() -> None:
    assert read_at(FlushTimer(), Holding(), 10.0, 11.0, 11.0) == [11.0, 11.0]


def test_a_longer_delay_is_counted_from_the_same_beginning() -> None:
    timer, holding = FlushTimer(), Holding(0.5)
    assert read_at(timer, holding, 10.0) == [10.5]
    holding.flush_delay = 5.0
    assert read_at(timer, holding, 10.4) == [15.0]


def test_another_wait_has_its_own_deadline() -> None:
    timer, holding = FlushTimer(), Holding()
    read_at(timer, holding, 10.0, 12.0, 12.0)
    assert timer.is_over
    holding.flush_count += 1
    assert read_at(timer, holding, 20.0, 20.5) == [21.0, 21.0]


def test_events_pass_until_the_reader_holds_some_back() -> None:
    holding = Holding(None)
    until = UntilHeld(lambda _: True, cast(Reader, holding))
    assert until.take([])
    holding.flush_delay = 1.0
    assert not until.take([])
    assert until.holds
