"""scripts/bench --count: the slope, the table of ratios, what the tools write, and one small real count by each."""

from __future__ import annotations

import asyncio
import shutil
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from tests.support.paths import ROOT

sys.path.append(str(ROOT / "scripts"))

from benchmark.commands import bench
from benchmark.counting import pauses
from benchmark.counting.callgrind import INSTRUCTIONS, Callgrind, parse_profile
from benchmark.counting.counter import Cost, count
from benchmark.counting.inspection import inspection_table
from benchmark.counting.loads import COUNTED
from benchmark.counting.memory import Allocated, measure_memory, measure_peaks, memory_table, peak_table
from benchmark.counting.pauses import measure_pause, pause_table
from benchmark.counting.python_calls import PYTHON_CALLS, PYTHON_TIME, PythonCalls
from benchmark.counting.ratios import Table, build_table, compare, read_table, write_table
from benchmark.counting.report import cost_table, largest_tables
from benchmark.counting.slope import largest, slope, total
from benchmark.counting.strace import SYSTEM_CALLS, Strace, parse_calls
from benchmark.counting.tool import Tool, ToolFailed
from benchmark.counting.traced import part_of
from benchmark.counting.watched import Watch
from benchmark.counting.workers import LOAD, measure_workers, workers_table
from benchmark.measurement.measure import run_load
from benchmark.targets.stage import INSPECTED, TWO_WORKERS, WATCHED, Stage, open_stage

PROFILE = """\
version: 1
events: Ir
summary: 6110

ob=/usr/lib/libpython3.11.so.1.0
fl=Python/ceval.c
fn=_PyEval_EvalFrameDefault
10 100
fi=Include/object.h
+3 20
fe=Python/ceval.c
cfn=PyLong_FromLong
calls=2 40
12 5000
* 3
fn=_PyEval_EvalFrameDefault'2
-4 7

ob=/site-packages/pydantic_core.so
fl=???
fn=0x0000000000007c90
0 11
cob=/usr/lib/libpython3.11.so.1.0
cfn=_PyEval_EvalFrameDefault
calls=1 10
0 900

totals: 6110
"""
CALLS = """\
101 epoll_pwait(5, [{events=EPOLLIN, data=0x5}], 1024, 20, NULL, 8) = 1
101 read(8, ""..., 262144)            = 320
101 write(9, ""..., 99 <unfinished ...>
102 futex(0x7f, FUTEX_WAIT, 2, NULL <unfinished ...>
101 <... write resumed>)               = 99
101 write(9, ""..., 99)                = 99
102 +++ exited with 0 +++
"""
VERSIONS = {"python": "3.11.7", "aiohttp": "3.14.5", "libc": "glibc 2.36"}


def costs_of(instructions: float, calls: float) -> list[Cost]:
    """A load of the proxy, beside a pipe that takes 100 instructions and 10 calls."""
    pipe = Cost("short", "pipe", {INSTRUCTIONS: {"f": 60.0, "g": 40.0}, SYSTEM_CALLS: {"read": 10.0}})
    proxy = Cost("short", "proxy", {INSTRUCTIONS: {"f": instructions}, SYSTEM_CALLS: {"read": calls}})
    return [pipe, proxy]


def table_of(instructions: float, calls: float, **versions: str) -> Table:
    return Table({**VERSIONS, **versions}, {"short": {INSTRUCTIONS: instructions, SYSTEM_CALLS: calls}})


# the slope


def test_what_both_lengths_have_in_common_drops_out() -> None:
    few = {"calls": Counter(start=1000, work=40, end=7)}
    many = {"calls": Counter(start=1000, work=240, once=100)}
    assert slope(few, many, 100) == {"calls": {"start": 0.0, "work": 2.0, "once": 1.0, "end": -0.07}}


def test_the_largest_rates_come_first_and_none_that_rounds_to_nothing() -> None:
    rates = {"calls": {"b": 2.0, "a": 2.0, "c": 5.0, "rare": 0.001}}
    assert largest(rates, "calls", 9) == [("c", 5.0), ("a", 2.0), ("b", 2.0)]
    assert largest(rates, "calls", 1) == [("c", 5.0)]
    assert total(rates, "calls") == 9.001
    assert total(rates, "other") == 0


def test_a_burst_is_divided_by_its_deltas_and_a_paced_run_is_one_request() -> None:
    burst, paced, short = COUNTED["burst"], COUNTED["paced"], COUNTED["short"]
    assert burst.units == (burst.many - burst.few) * 500
    assert paced.units == paced.many - paced.few
    assert short.units == short.many - short.few
    assert (paced.sized(40).run.deltas, paced.sized(40).most) == (40, 1)
    assert (burst.sized(5).run.deltas, burst.sized(5).most) == (500, 5)


# what the tools write


def test_callgrinds_own_instructions_are_summed() -> None:
    assert parse_profile(PROFILE.splitlines(keepends=True)) == {
        "_PyEval_EvalFrameDefault": 100 + 20 + 3 + 7,
        "pydantic_core.so:0x0000000000007c90": 11,
    }


def test_strace_calls_are_counted_where_they_begin() -> None:
    assert parse_calls(CALLS.splitlines()) == {"epoll_pwait": 1, "read": 1, "write": 2, "futex": 1}


# the table of ratios


def test_the_table_holds_ratios_to_the_pipe() -> None:
    assert build_table(costs_of(150, 12)).ratios == {"short": {INSTRUCTIONS: 1.5, SYSTEM_CALLS: 1.2}}


def test_a_table_is_read_as_it_was_written(tmp_path: Path) -> None:
    file = tmp_path / "ratios.json"
    write_table(table_of(1.5, 1.2), file)
    assert read_table(file) == table_of(1.5, 1.2)


def test_the_table_of_the_repository_has_loads_that_are_counted() -> None:
    assert read_table().ratios.keys() <= COUNTED.keys()


def test_a_ratio_within_the_tolerance_is_no_change() -> None:
    comparison = compare(table_of(1.54, 1.17), table_of(1.5, 1.2))
    assert not comparison.failed
    assert comparison.lines() == ["All ratios are within 3% of the table."]


def test_a_ratio_that_grew_fails() -> None:
    comparison = compare(table_of(1.56, 1.2), table_of(1.5, 1.2))
    assert comparison.failed
    assert comparison.lines()[0] == "short: instructions grew from 1.500 to 1.560 × pipe (+4.0%)"


def test_a_ratio_that_fell_is_named_and_does_not_fail() -> None:
    comparison = compare(table_of(1.5, 0.9), table_of(1.5, 1.2))
    assert not comparison.failed
    assert comparison.lines()[0] == "short: system calls fell from 1.200 to 0.900 × pipe (-25.0%)"


def test_one_system_call_more_is_no_change() -> None:
    assert not compare(table_of(1.5, 1.3), table_of(1.5, 1.2)).grown
    assert compare(table_of(1.5, 1.4), table_of(1.5, 1.2)).failed


def test_other_versions_are_named_and_nothing_fails() -> None:
    comparison = compare(table_of(2.0, 1.2, python="3.13.1"), table_of(1.5, 1.2))
    assert not comparison.failed
    assert "grew from 1.500 to 2.000" in comparison.lines()[0]
    assert "python 3.13.1 (table: 3.11.7)" in comparison.lines()[1]


def test_a_load_that_the_table_lacks_is_no_change() -> None:
    assert compare(table_of(1.5, 1.2), Table(VERSIONS, {})).lines() == ["All ratios are within 3% of the table."]


# what is shown


def test_costs_are_shown_beside_the_pipe_and_with_what_cost_most() -> None:
    costs = costs_of(150, 12)
    costs[1].rates.update({PYTHON_CALLS: {"a.py:f": 3.0}, PYTHON_TIME: {"a.py:f": 50.0}})
    lines = cost_table(costs).splitlines()
    assert [cell.strip() for cell in lines[3].split("|")[3:8]] == ["proxy", "150", "1.500", "12.0", "1.200"]
    tables = list(largest_tables(costs, 1))
    assert [table.splitlines()[0].split("|")[1].strip() for table in tables] == [
        "short, pipe: instructions",
        "short, pipe: system calls",
        "short, proxy: instructions",
        "short, proxy: system calls",
        "short, proxy: Python calls",
    ]
    assert "60.0" in tables[0]
    assert "g" not in tables[0].splitlines()[-1]
    assert tables[-1].splitlines()[-1].split() == ["|", "a.py:f", "|", "3.00", "|", "100.0%", "|"]


# the command


def test_without_the_programs_it_says_how_to_install_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    done = CliRunner().invoke(bench, ["--count"])
    assert done.exit_code == 1
    assert "apt-get install valgrind strace" in done.output


def test_a_load_that_is_not_counted_is_named() -> None:
    if shutil.which("valgrind") is None or shutil.which("strace") is None:
        pytest.skip("valgrind and strace are not installed")
    done = CliRunner().invoke(bench, ["--count", "--only", "idle"])
    assert done.exit_code == 2
    assert "no load idle" in done.output


# real counts


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    with open_stage() as stage:
        yield stage


def counted(stage: Stage, tool: Tool) -> Cost:
    """The pipe's cost of `short`, from few requests."""
    (cost,) = count(stage, [replace(COUNTED["short"], few=2, many=6)], ["pipe"], [tool], print)
    return cost


def needs(program: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(shutil.which(program) is None, reason=f"{program} is not installed")


@needs("valgrind")
def test_callgrind_counts_the_instructions_of_a_request(stage: Stage) -> None:
    cost = counted(stage, Callgrind())
    assert 200_000 < total(cost.rates, INSTRUCTIONS) < 3_000_000
    assert cost.rates[INSTRUCTIONS]["_PyEval_EvalFrameDefault"] > 100_000


def test_the_inspectors_cost_is_shown_beside_the_proxy_without_it() -> None:
    table = inspection_table({"proxy": [100.0, 90.0, 110.0], INSPECTED: [105.0] * 3, WATCHED: [300.0] * 3})
    assert [row.split("|")[2:4] for row in table.splitlines()[2:]] == [
        ["                     100 ", " 1.000 "],
        ["                     105 ", " 1.050 "],
        ["                     300 ", " 3.000 "],
    ]


def test_a_watched_proxy_has_a_reader_and_answers(stage: Stage) -> None:
    with stage.target(WATCHED) as target:
        came = run_load(replace(COUNTED["short"], few=2).sized(2), target, stage).came
    assert (came.requests, came.broken) == (2, [])


@needs("valgrind")
def test_all_workers_are_counted(stage: Stage) -> None:
    """Both have requests, so the instructions of one alone would be half as many."""
    one, two = measure_workers(stage, print, replace(LOAD, few=32, many=128))
    assert two.target == TWO_WORKERS
    assert 0.8 < total(two.rates, INSTRUCTIONS) / total(one.rates, INSTRUCTIONS) < 2


def test_the_cost_with_two_workers_is_shown_beside_that_with_one() -> None:
    costs = [
        Cost("short", name, {INSTRUCTIONS: {"f": cost}}) for name, cost in (("proxy", 100.0), (TWO_WORKERS, 105.0))
    ]
    assert workers_table(costs).splitlines()[2:] == [
        "| one     |                       100 | 1.000 |",
        "| two     |                       105 | 1.050 |",
    ]


@needs("strace")
def test_strace_counts_the_writes_of_a_request(stage: Stage) -> None:
    assert counted(stage, Strace()).rates[SYSTEM_CALLS]["write"] >= 2


def test_python_calls_of_a_request_are_counted(stage: Stage) -> None:
    calls = counted(stage, PythonCalls()).rates[PYTHON_CALLS]
    assert calls["aiohttp/web_response.py:StreamResponse.__init__"] == 1


def test_a_pause_is_the_processor_time_between_two_turns() -> None:
    watch = Watch()

    async def run() -> None:
        await asyncio.sleep(0.01)
        until = time.thread_time() + 0.05
        while time.thread_time() < until:
            pass
        await asyncio.sleep(0.01)

    with asyncio.Runner(loop_factory=watch.new_event_loop) as runner:
        runner.run(run())
    assert 0.05 <= watch.read() < 0.09
    assert watch.read() == 0


def test_the_pause_of_the_proxy_is_measured(stage: Stage) -> None:
    pause = measure_pause(stage, "proxy", replace(pauses.LOAD, connections=4, most=8))
    assert 0.0005 < pause.longest < 1
    assert pause_table([pause]).endswith(f" {pause.longest * 1e3:.1f} ms |")


@pytest.mark.parametrize(
    ("file", "part"),
    [
        (str(ROOT / "oaicompat_proxy" / "server" / "upstream" / "run.py"), "server/upstream"),
        (str(ROOT / "oaicompat_proxy" / "api" / "openai" / "chat" / "encoder.py"), "api/openai"),
        (str(ROOT / "oaicompat_proxy" / "cli.py"), "oaicompat_proxy"),
        (asyncio.__file__, "asyncio"),
        (pytest.__file__, "pytest"),
        ("<string>", "<string>"),
    ],
)
def test_memory_belongs_to_a_room_or_a_library(file: str, part: str) -> None:
    assert part_of(file) == part


def test_what_an_open_stream_allocates_is_shown_by_room(stage: Stage) -> None:
    found = measure_memory(stage, "proxy", few=2, many=12)
    assert found.parts["server/upstream"] > 100
    assert 5_000 < sum(found.parts.values()) < 200_000
    assert "server/upstream" in memory_table([Allocated("pipe", {"aiohttp": 20.0}), found])


def test_memory_is_read_at_and_after_each_peak(stage: Stage) -> None:
    peaks = measure_peaks(stage, "proxy", streams=400, peaks=2)
    assert peaks.during[0] > 400 * 2_000
    assert len(peaks.after) == 2
    assert peak_table([peaks]).endswith(f" {peaks.after[1] / 1e6:.1f} MB |")


def test_requests_that_were_not_answered_in_time_give_no_counts(stage: Stage) -> None:
    load = COUNTED["short"]
    late = replace(load, load=replace(load.load, seconds=0))
    with pytest.raises(ToolFailed, match="short, pipe: 1 of 40 answers, some were not answered in time"):
        count(stage, [late], ["pipe"], [PythonCalls()], print)
