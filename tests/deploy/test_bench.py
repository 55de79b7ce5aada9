"""scripts/bench: every load yields figures, and an answer that lacks something is found. Nothing here is timed."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from oaicompat_proxy.api.anthropic.api import MESSAGES
from oaicompat_proxy.api.openai.responses.api import RESPONSES
from oaicompat_proxy.api.protocol import ClientApi
from oaicompat_proxy.core.answer import AnswerFinished, AnswerStarted, Envelope, FinishReason, TextPart
from tests.support.paths import ROOT

sys.path.append(str(ROOT / "scripts"))

from benchmark.commands import Settings, bench
from benchmark.flames import top_table
from benchmark.gateway.frames import HOLE, Run, build_script, parse_prompt, texts
from benchmark.gateway.openai_frames import build_openai_answer, build_openai_script
from benchmark.gateway.server import STREAM_HEAD, fill
from benchmark.load import checks
from benchmark.load.checks import Checker, Incomplete
from benchmark.load.loads import LOADS, scaled
from benchmark.load.order import Summary, quantiles
from benchmark.measurement import machine
from benchmark.measurement.curves import Curve, build_curves, run_curves
from benchmark.measurement.measure import Figures, run_load
from benchmark.measurement.stored import StoredFigures, stored_table
from benchmark.report import summary as report
from benchmark.report.readme import NoPlace, check_place, replace_part
from benchmark.report.tables import curve_table, readme_table, result_table
from benchmark.targets.processes import Server, StartFailed
from benchmark.targets.stage import DIRECT, OWN, Stage, Target, open_stage

BENCH = [sys.executable, "-m", "benchmark"]
KEY = b"oc-0123456789"
RUN = Run(deltas=40)
FILES = 4000

LOSSY = """
import asyncio, sys
import aiohttp
from aiohttp import web

async def copy(request):
    async with aiohttp.ClientSession() as session:
        async with session.post(sys.argv[1] + "/send", data=await request.read()) as answer:
            frames = (await answer.read()).split(b"\\n\\n")
    del frames[int(sys.argv[2])]
    return web.Response(body=b"\\n\\n".join(frames), content_type="text/event-stream")

async def main():
    app = web.Application()
    app.router.add_post("/send", copy)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    print(f"listens on http://127.0.0.1:{runner.addresses[0][1]}", flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""
"""A pipe that loses one frame of every answer."""


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    with open_stage() as stage:
        yield stage


@pytest.fixture(scope="module")
def targets(stage: Stage) -> Iterator[dict[str, Target]]:
    with contextlib.ExitStack() as stack:
        yield {name: stack.enter_context(stage.target(name)) for name in (DIRECT, *OWN)}


def run_bench(*arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "scripts")}
    return subprocess.run(
        [*BENCH, *arguments], env=environment, capture_output=True, text=True, timeout=100, check=False
    )


# loads


@pytest.mark.parametrize("name", LOADS)
def test_every_load_yields_figures_of_the_proxy(name: str, stage: Stage, targets: dict[str, Target]) -> None:
    load = scaled(LOADS[name], "tiny", files=FILES)
    figures = run_load(load, targets["proxy"], stage)
    assert figures.came.broken == []
    assert figures.came.requests >= load.connections
    assert figures.came.deltas >= load.connections
    assert figures.cpu > 0
    assert figures.seconds > 0
    assert bool(figures.came.relay) == load.run.stamped
    assert bool(figures.came.duration) == (load.mode == "repeat")
    assert (figures.due > 0) == (load.run.pace > 0)


@pytest.mark.parametrize("target", [DIRECT, "pipe", "nginx"])
def test_debugging_frames_and_stamps_pass_what_only_copies(
    target: str, stage: Stage, targets: dict[str, Target]
) -> None:
    load = scaled(LOADS["relay"], "tiny", debug=5000, files=FILES)
    came = run_load(load, targets[target], stage).came
    assert came.broken == []
    assert came.relay[0] > 0


def test_debugging_frames_are_kept_from_the_client_by_the_proxy(stage: Stage, targets: dict[str, Target]) -> None:
    load = scaled(LOADS["short"], "tiny", debug=100_000, files=FILES)
    assert run_load(load, targets["proxy"], stage).came.broken == []


def test_a_target_that_drops_a_frame_is_found(stage: Stage, tmp_path: Path) -> None:
    lossy = Server("lossy", [sys.executable, "-c", LOSSY, stage.address, "10"], stage.keeper, tmp_path / "log")
    try:
        port = int(lossy.wait_for(r"listens on http://127\.0\.0\.1:(\d+)")[1])
        target = Target("lossy", (port,), lossy, native=True)
        came = run_load(scaled(LOADS["burst"], "tiny", files=FILES), target, stage).came
    finally:
        lossy.stop()
    assert len(came.broken) == came.requests > 0
    assert came.deltas == 0
    assert "499 deltas instead of 500; delta 6" in came.broken[0]


def test_a_target_that_refuses_is_found(stage: Stage, targets: dict[str, Target]) -> None:
    target = replace(targets["proxy"], native=True)  # the proxy has no /send
    came = run_load(scaled(LOADS["short"], "tiny", files=FILES), target, stage).came
    assert "404" in came.broken[0]


def test_a_target_that_is_gone_is_found(stage: Stage) -> None:
    with stage.target("pipe") as target:
        pass
    figures = run_load(scaled(LOADS["short"], "tiny", files=FILES), target, stage)
    assert figures.came.broken == ["the load client had no result"]


def test_a_program_that_is_missing_or_fails_is_named(stage: Stage, tmp_path: Path) -> None:
    with pytest.raises(StartFailed, match="nobody cannot be started"):
        Server("nobody", ["/no/such/program"], stage.keeper, tmp_path / "log")
    failing = Server("failing", [sys.executable, "-c", "raise SystemExit('no luck')"], stage.keeper, tmp_path / "log")
    with pytest.raises(StartFailed, match="no luck"):
        failing.wait_for("listens")
    failing.stop()


def test_a_curve_has_a_point_for_each_target_and_x(stage: Stage) -> None:
    loads = {count: scaled(LOADS["short"], "tiny", files=FILES) for count in (1, 2)}
    curve = Curve("workers", "Speed", "workers", "requests", loads, lambda each: each.came.requests, ("pipe", "proxy"))
    (points,) = run_curves(stage, [curve], 1, lambda line: None)
    assert points.broken == []
    assert {target: list(values) for target, values in points.values.items()} == {"pipe": [1, 2], "proxy": [1, 2]}
    assert all(value > 0 for values in points.values.values() for value in values.values())
    assert re.search(
        r"\| Speed +\| requests \| bare pipe +\| [\d.,]+ at 1, [\d.,]+ at 2 workers", curve_table([points])
    )


def test_curves_change_one_thing_only() -> None:
    for curve in build_curves(1.0):
        assert len(curve.loads) >= 2
        if curve.name == "streams":
            assert len({load.connections / load.run.pace for load in curve.loads.values()}) == 1
        if curve.name in ("length", "memory"):
            assert [load.run.deltas for load in curve.loads.values()] == list(curve.loads)
            assert len({load.connections for load in curve.loads.values()}) == 1


# the command


def test_the_command_prints_a_table_and_writes_all_figures(tmp_path: Path) -> None:
    file = tmp_path / "figures.json"
    flags = ["--only", "short", "--target", "pipe", "--target", "proxy", "--rounds", "2", "--scale", "tiny"]
    done = run_bench(*flags, "--json", str(file))
    assert (done.returncode, done.stdout.count("| short | proxy")) == (0, 1), done.stderr
    assert "Medians of 2 rounds, on: date" in done.stdout
    written = json.loads(file.read_text())
    assert [(line["load"], line["target"]) for line in written["lines"]] == [("short", "pipe"), ("short", "proxy")]
    order = [[each["target"] for each in figures] for figures in written["rounds"]]
    assert order == [["pipe", "proxy"], ["proxy", "pipe"]]
    assert all(line["broken"] == 0 for line in written["lines"])


@pytest.mark.parametrize("flags", [["--only", "nothing"], ["--peer", "nobody"], ["--target", "other"]])
def test_a_word_that_it_does_not_know_is_named(flags: list[str]) -> None:
    done = run_bench(*flags)
    assert done.returncode == 2
    assert flags[1] in done.stderr


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGKILL], ids=["SIGTERM", "SIGKILL"])
def test_nothing_is_left_when_it_is_killed(signum: int) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "scripts")}
    flags = ["--only", "paced", "--target", "pipe", "--rounds", "9"]
    bench = subprocess.Popen([*BENCH, *flags], env=environment, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    wait_until(lambda: len(descendants(bench.pid)) >= len(["keeper", "gateway", "pipe", "client"]))
    children = descendants(bench.pid)
    keeper = next(words for words in map(words_of, children) if "benchmark.targets.keeper" in words)
    home = Path(keeper[-1])
    assert home.is_dir()
    bench.send_signal(signum)
    bench.wait(20)
    wait_until(lambda: not any(runs(pid) for pid in children))
    assert not home.exists()


def descendants(pid: int) -> list[int]:
    try:
        own = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return []
    return [int(child) for child in own] + [grandchild for child in own for grandchild in descendants(int(child))]


def words_of(pid: int) -> list[str]:
    """The command line of a process."""
    return Path(f"/proc/{pid}/cmdline").read_text().rstrip("\0").split("\0")


def runs(pid: int) -> bool:
    try:
        state = re.search(r"^State:\s+(\w)", Path(f"/proc/{pid}/status").read_text(), re.M)
    except OSError:
        return False
    return state is not None and state[1] != "Z"


def wait_until(condition: Any) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


# frames


def test_a_run_is_asked_for_by_its_prompt() -> None:
    run = Run(deltas=7, pace=12.5, batch=3, hold=True, stamped=True, debug=9)
    assert parse_prompt(json.dumps({"text": run.prompt()}).encode()) == run
    assert parse_prompt(b"{}") == Run()


def test_frames_come_in_the_order_of_a_real_run_and_all_are_different() -> None:
    script = build_script(replace(RUN, debug=1000), len(KEY))
    body = checks.split_answer(STREAM_HEAD + fill(script.at_once, KEY))
    frames = [json.loads(frame.removeprefix(b"data: ")) for frame in body.split(b"\n\n") if frame]
    assert HOLE not in body
    assert [each["event"] for each in frames] == [
        *["execution_start", "tick_start", "compiled", "model_request", "provider_request"],
        *["message_start", "content_start"],
        *["content_delta"] * RUN.deltas,
        *["content_end", "content", "message_end", "message", "model_response", "entry_committed", "entry_committed"],
        *["tick_end", "context_update", "result", "execution_end", "execution_end"],
    ]
    assert {each["sessionId"] for each in frames} == {KEY.decode()}
    data = [each["data"] for each in frames[:-1]]
    assert [each["sequence"] for each in data] == [*range(1, len(frames))]
    assert len({each["id"] for each in data}) == len({each["timestamp"] for each in data}) == len(data)
    delta = next(each for each in data if each["type"] == "content_delta")
    assert " ".join(delta) == "type id sequence tick timestamp blockType blockIndex delta executionId"
    assert len(json.dumps(data[2]["system"])) > 1000


def test_a_held_run_has_no_end() -> None:
    script = build_script(Run(deltas=2, hold=True), len(KEY))
    assert script.at_once == script.opening + b"".join(script.deltas)


# checks


def streamed(*, native: bool) -> bytes:
    script = build_script(RUN, len(KEY)) if native else build_openai_script(RUN)
    return STREAM_HEAD + fill(script.at_once, KEY if native else b"")


def encoded(api: ClientApi, answer_id: str) -> bytes:
    encoder = api.new_encoder(Envelope(answer_id, 1790000000, "bench"), {})
    parts = [AnswerStarted(), *map(TextPart, texts(RUN)), AnswerFinished(FinishReason.STOP)]
    body = b"".join(map(encoder.encode, parts)) + encoder.end()
    return STREAM_HEAD + b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)


def whole() -> bytes:
    body = build_openai_answer(RUN)
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)


def rechunked(answer: bytes, old: bytes, new: bytes) -> bytes:
    """A correct HTTP answer with another content."""
    body = checks.split_answer(answer)
    assert old in body
    body = body.replace(old, new, 1)
    return STREAM_HEAD + b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)


def frame(answer: bytes, word: bytes) -> bytes:
    """The first frame with this word."""
    return next(each for each in checks.split_answer(answer).split(b"\n\n") if word in each) + b"\n\n"


@pytest.mark.parametrize(
    ("kind", "answer"),
    [
        ("native", streamed(native=True)),
        ("chunks", streamed(native=False)),
        ("whole", whole()),
        ("responses", encoded(RESPONSES, "resp_0a1b")),
        ("messages", encoded(MESSAGES, "msg_0a1b")),
    ],
    ids=["native", "chunks", "whole", "responses", "messages"],
)
def test_a_whole_answer_is_whole_and_cut_anywhere_it_is_not(kind: str, answer: bytes) -> None:
    checker = Checker(kind, list(texts(RUN)))
    checker.check(answer)
    checker.check(answer)
    for end in range(0, len(answer), 37):
        with pytest.raises(Incomplete):
            checker.check(answer[:end])


NATIVE, CHUNKS, EVENTS = streamed(native=True), streamed(native=False), encoded(RESPONSES, "resp_0a1b")
BLOCKS = encoded(MESSAGES, "msg_0a1b")


@pytest.mark.parametrize(
    ("kind", "answer", "message"),
    [
        ("native", rechunked(NATIVE, frame(NATIVE, b"content_delta"), b""), "39 deltas instead of 40"),
        ("native", rechunked(NATIVE, frame(NATIVE, b"content_delta"), 2 * frame(NATIVE, b"content_delta")), "41 del"),
        ("native", rechunked(NATIVE, b'"delta":" the"', b'"delta":" teh"'), "delta 0 is ' teh'"),
        ("native", rechunked(NATIVE, b'"event":"execution_end"', b'"event":"other"'), "the last frame"),
        ("chunks", rechunked(CHUNKS, frame(CHUNKS, b" quic"), b""), "39 deltas instead of 40; delta 1"),
        ("chunks", rechunked(CHUNKS, b'"content":" the"', b'"content":" The"'), "delta 0 is ' The'"),
        ("chunks", rechunked(CHUNKS, b'"finish_reason":"stop"', b'"finish_reason":null'), "finish reasons []"),
        (
            "chunks",
            rechunked(CHUNKS, frame(CHUNKS, b'"stop"'), 2 * frame(CHUNKS, b'"stop"')),
            "finish reasons ['stop', 's",
        ),
        ("chunks", rechunked(CHUNKS, b"data: [DONE]\n\n", b""), "the last words"),
        ("chunks", rechunked(CHUNKS, frame(CHUNKS, b" quic"), b'data: {"error": "no"}\n\n'), "the answer is an error"),
        ("chunks", rechunked(CHUNKS, b'{"id"', b'{id"'), "JSONDecodeError"),
        ("whole", whole().replace(b" the quick", b" teh quick"), "1 deltas instead of 1; delta 0"),
        ("whole", whole().replace(b'"stop"', b'"long"'), "finish reason 'long'"),
        ("whole", whole().replace(b" 200 OK", b" 500 No"), "status line"),
        ("whole", whole() + b"!", " bytes"),
        ("responses", rechunked(EVENTS, frame(EVENTS, b'delta":" quick'), b""), "39 deltas instead of 40; delta 1"),
        ("responses", rechunked(EVENTS, b'"sequence_number":3', b'"sequence_number":4'), "not numbered one by one"),
        ("responses", rechunked(EVENTS, frame(EVENTS, b"response.completed"), b""), "the last event is"),
        ("messages", rechunked(BLOCKS, frame(BLOCKS, b'"text":" quick'), b""), "39 deltas instead of 40; delta 1"),
        ("messages", rechunked(BLOCKS, b'"end_turn"', b'"max_tokens"'), "stop reason 'max_tokens'"),
        ("messages", rechunked(BLOCKS, frame(BLOCKS, b"message_stop"), b""), "the last event is"),
        ("native", NATIVE + b"!", "behind the last chunk"),
        ("native", NATIVE.replace(b'"delta":" the"', b'"delta":" them"', 1), "not as long as it says"),
    ],
)
def test_what_is_wrong_with_an_answer_is_found_and_said(kind: str, answer: bytes, message: str) -> None:
    checker = Checker(kind, list(texts(RUN)))
    checker.check({"native": NATIVE, "chunks": CHUNKS, "whole": whole(), "responses": EVENTS, "messages": BLOCKS}[kind])
    with pytest.raises(Incomplete, match=re.escape(message)):
        checker.check(answer)


# figures


def figures(target: str, load: str = "burst", *, cpu: float = 0, memory: int = 0, relay: float = 0) -> Figures:
    came = Summary(requests=2, deltas=1000, duration=[0.1, 0.2, 0.3], relay=[relay, 2 * relay, 3 * relay])
    return Figures(target, load, came, seconds=2.0, cpu=round(cpu * 1e6), memory=memory * 1024, connections=10)


def test_ratios_are_medians_of_rounds_each_to_the_pipe_of_its_own_round() -> None:
    costs = [(1.0, 2.0), (10.0, 30.0), (2.0, 8.0)]
    rounds = [[figures("proxy", cpu=proxy), figures("pipe", cpu=pipe)] for pipe, proxy in costs]
    pipe, proxy = report.summarise(rounds)
    assert (pipe.target, pipe.chunk, pipe.ratio) == ("pipe", 2.0, 1.0)
    assert (proxy.target, proxy.chunk, proxy.ratio) == ("proxy", 8.0, 3.0)
    assert (proxy.request, proxy.chunks_per_second, proxy.p50) == (4000.0, 500.0, 100.0)


def test_memory_and_added_time_have_their_own_ratio_and_yardstick() -> None:
    rounds = [
        [figures("pipe", "idle", memory=200), figures("proxy", "idle", memory=100)],
        [figures("direct", "relay", relay=0.001), figures("proxy", "relay", relay=0.003)],
    ]
    lines = {(line.load, line.target): line for line in report.summarise(rounds)}
    assert (lines["idle", "proxy"].memory, lines["idle", "proxy"].ratio) == (10.0, 0.5)
    relay = lines["relay", "proxy"]
    assert relay.added_p50 == pytest.approx(2.0)
    assert relay.added_p99 == pytest.approx(4.0)
    assert relay.ratio is None


def test_doubtful_figures_are_marked() -> None:
    one = replace(figures("proxy", cpu=1), others=0.5, gateway_cpu=1_900_000_000, due=2000)
    noise, limit, pace = report.remarks([[one]])
    assert "busy with other things: 50%" in noise
    assert "the gateway was the limit" in limit
    assert "did not keep up" in pace
    assert report.remarks([[figures("proxy", cpu=1)]]) == []


def test_tables_have_a_line_for_each_load() -> None:
    broken = figures("proxy", "short", cpu=1)
    broken.came.broken.append("no end")
    lines = report.summarise([[figures("pipe", cpu=1), figures("proxy", cpu=2), broken]])
    shown = result_table(lines).splitlines()
    assert shown[0].startswith("| load  | target | CPU µs/chunk | µs/request | × pipe |")
    assert [line.split("|")[-2].strip() for line in shown] == ["broken", "-----:", "", "", "1"]
    burst, short = readme_table(lines).splitlines()[2:]
    assert [cell.strip() for cell in burst.split("|")[3:5]] == ["1.00 µs a chunk", "2.00 µs a chunk (2.00×)"]
    assert "answers were broken" in short


def test_a_part_of_the_readme_is_replaced_between_its_marks() -> None:
    text = "a\n<!-- bench -->\nold\n<!-- /bench -->\nz\n"
    assert replace_part(text, "bench", "new \\1") == "a\n<!-- bench -->\nnew \\1\n<!-- /bench -->\nz\n"
    with pytest.raises(NoPlace, match="<!-- curves -->"):
        replace_part(text, "curves", "new")


@pytest.mark.parametrize("kind", ["memory", "sqlite"])
def test_a_store_is_filled_and_asked(kind: str, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "benchmark.measurement.stored_worker", kind, str(tmp_path / "x.db"), "20", "fill"]
    where = {**os.environ, "PYTHONPATH": str(ROOT / "scripts")}
    done = subprocess.run(command, input="3\n5\n", capture_output=True, text=True, env=where, timeout=60, check=True)
    memory, kept, *rest = done.stdout.splitlines()
    assert json.loads(memory)["memory"] > 0
    assert json.loads(kept) == {"kept": 20}
    assert rest == ["done", "done"]


def test_the_figures_of_a_store_are_a_row() -> None:
    table = stored_table([StoredFigures("redis", 10_000, 4600, 640_300)])
    assert table.splitlines()[2] == "| Redis | 10,000 | 4.6 KB | 640.3 k |"


@pytest.mark.parametrize(
    ("flags", "part"),
    [
        ([], "bench"),
        (["--curves"], "curves"),
        (["--peer", "litellm"], "peers"),
        (["--count"], "counts"),
        (["--count", "pauses"], "pauses"),
        (["--stored"], "stored"),
    ],
    ids=str,
)
def test_the_readme_has_a_place_for_each_table(flags: list[str], part: str) -> None:
    context = bench.make_context("bench", flags)
    assert Settings(**context.params).part == part
    check_place(part)


def test_the_top_of_a_profile_counts_a_function_once_in_each_stack() -> None:
    table = top_table(["main;read;parse 3", "main;read 1", "main;f;f 4", "a remark"], 2).splitlines()
    assert [[cell.strip() for cell in line.split("|")[1:-1]] for line in table[2:]] == [
        ["f", "50.0%", "50.0%"],
        ["parse", "37.5%", "37.5%"],
    ]


def test_quantiles() -> None:
    assert quantiles([]) == []
    assert quantiles([3.0]) == [3.0, 3.0, 3.0]
    assert quantiles([*map(float, range(1000))]) == [500.0, 990.0, 999.0]


def test_this_machine_can_be_measured() -> None:
    assert machine.why_not() == ""
    assert machine.conditions()["aiohttp"]
