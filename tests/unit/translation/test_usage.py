import pytest

from oaicompat_proxy.core.events import Usage
from oaicompat_proxy.translation.usage import UsageMeter

ZERO = Usage(0, 0, 0)
A, B, AB = Usage(3, 1, 4), Usage(5, 2, 7), Usage(8, 3, 11)
RUN = Usage(80, 17, 97)

# the meter's input, one item at a time ("tick" without usage begins a tick), and the total
CASES: list[tuple[str, list[tuple[str, Usage | None]], Usage | None]] = [
    ("nothing was said", [], None),
    ("nothing was said in two ticks", [("begin", None), ("message", None), ("begin", None), ("tick", None)], None),
    ("one message", [("message", A)], A),
    ("the tick is better than its message", [("message", A), ("tick", B)], B),
    ("the run is better than its ticks", [("tick", A), ("begin", None), ("tick", B), ("run", RUN)], RUN),
    ("ticks are added", [("tick", A), ("begin", None), ("tick", B)], AB),
    ("messages are added", [("message", A), ("begin", None), ("message", B)], AB),
    ("a tick and a message are added", [("tick", A), ("begin", None), ("message", B)], AB),
    ("a zero message is corrected by its copy", [("message", ZERO), ("message", A)], A),
    ("a zero copy corrects nothing", [("message", A), ("message", ZERO)], A),
    ("a zero tick is worse than its message", [("message", A), ("tick", ZERO)], A),
    ("a zero run is worse than its ticks", [("tick", A), ("run", ZERO)], A),
    ("the same usage twice counts once", [("message", A), ("message", A), ("tick", A), ("tick", A)], A),
    ("later is better", [("message", A), ("message", B)], B),
    ("zeros are all there is", [("message", ZERO), ("tick", ZERO), ("run", ZERO)], ZERO),
    ("a tick that began but said nothing", [("tick", A), ("begin", None)], A),
]


def meter_of(reports: list[tuple[str, Usage | None]]) -> UsageMeter:
    meter = UsageMeter()
    for what, usage in reports:
        if what == "begin":
            meter.start_tick()
        else:
            {"message": meter.add_message, "tick": meter.add_tick, "run": meter.add_run}[what](usage)
    return meter


@pytest.mark.parametrize(("reports", "total"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_the_best_source_wins(reports: list[tuple[str, Usage | None]], total: Usage | None) -> None:
    meter = meter_of(reports)
    assert meter.total() == total
    assert meter.total() == total  # asking changes nothing


def test_details_that_the_total_of_the_run_lacks_come_from_its_ticks() -> None:
    """Agentick adds up three counts of a run only, and reports the details with each tick."""
    reports: list[tuple[str, Usage | None]] = [
        ("tick", Usage(10, 4, 14, reasoning_tokens=1, cached_tokens=6)),
        ("begin", None),
        ("tick", Usage(20, 5, 25, reasoning_tokens=2, cached_tokens=7, cache_write_tokens=3)),
        ("run", Usage(30, 9, 39, cached_tokens=0)),
    ]
    meter = meter_of(reports)
    assert meter.total() == Usage(30, 9, 39, reasoning_tokens=3, cached_tokens=0, cache_write_tokens=3)
    assert meter.total() == Usage(30, 9, 39, reasoning_tokens=3, cached_tokens=0, cache_write_tokens=3)


def test_details_are_added_where_they_are_known() -> None:
    reports: list[tuple[str, Usage | None]] = [
        ("tick", Usage(1, 1, 2, reasoning_tokens=1)),
        ("begin", None),
        ("tick", Usage(1, 1, 2, reasoning_tokens=2, cached_tokens=0, cache_write_tokens=4)),
        ("begin", None),
        ("tick", Usage(1, 1, 2)),
    ]
    assert meter_of(reports).total() == Usage(3, 3, 6, reasoning_tokens=3, cached_tokens=0, cache_write_tokens=4)


@pytest.mark.parametrize(
    ("reports", "known"),
    [
        ([], False),
        ([("message", None)], False),
        ([("message", ZERO)], False),
        ([("message", ZERO), ("message", A)], True),
        ([("message", Usage(0, 0, 9))], True),
        ([("tick", A)], False),
        ([("message", A), ("begin", None)], False),
    ],
)
def test_it_knows_whether_the_messages_tokens_are_known(reports: list[tuple[str, Usage | None]], known: bool) -> None:
    assert meter_of(reports).has_message == known
