"""scripts/soak: some seconds of it find no problem, and it finds the problems that it is made for."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Sequence

import pytest

from tests.support.paths import ROOT

SCRIPTS = ROOT / "scripts"
sys.path.append(str(SCRIPTS))

from soaking import callers, loads  # noqa: E402
from soaking.__main__ import report  # noqa: E402
from soaking.figures import STEEPEST, Figures, Sample, sample  # noqa: E402
from soaking.hostile import KINDS  # noqa: E402
from soaking.loads import LOADS, Load, asked, well, words_of  # noqa: E402
from soaking.soak import soak  # noqa: E402

from tests.support.scripted_gateway import Step  # noqa: E402


def run_soak(*flags: str) -> subprocess.CompletedProcess[str]:
    paths = os.pathsep.join(map(str, (ROOT, SCRIPTS)))
    command = [sys.executable, "-m", "soaking", *flags]
    env = {**os.environ, "PYTHONPATH": paths}
    return subprocess.run(command, env=env, capture_output=True, text=True, timeout=100, check=False)


def test_ten_seconds_find_nothing() -> None:
    done = run_soak("--minutes", str(10 / 60), "--clients", "12")
    assert (done.returncode, done.stderr) == (0, ""), done.stdout + done.stderr
    for name in (*LOADS, *KINDS):
        assert re.search(rf"\d {name}\n", done.stdout), f"{name} was never asked"
    assert done.stdout.endswith("verdict: sound\n")


def lost(words: Sequence[str]) -> list[Step]:
    return well([*words[:-2], words[-1]])


def doubled(words: Sequence[str]) -> list[Step]:
    return well([*words, words[-1]])


WRONG = {
    "usual": Load(0, well),  # to warm up with
    "one that loses": Load(1, lost),
    "one that doubles": Load(1, doubled),
    "one that breaks off": Load(1, loads.up_to("cut")),
    "one that should fail": Load(1, well, succeeds=False),
}


async def test_what_is_wrong_with_an_answer_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loads, "LOADS", WRONG)
    monkeypatch.setattr(callers, "LOADS", WRONG)
    done = await soak(1, 2, 1)
    problems, asked_for = done.tally.problems, done.tally.done
    assert problems["failed"] == asked_for["one that breaks off"] > 0
    assert problems["half an answer sold as a whole"] == asked_for["one that should fail"] > 0
    assert problems["lost or doubled"] >= asked_for["one that loses"] + asked_for["one that doubles"] > 0
    assert set(problems) == {"failed", "half an answer sold as a whole", "lost or doubled"}
    assert report(done)[-1] == "verdict: leaks or breaks"


def figures(growth: float, *, minutes: float = 10, left: int = 0) -> Figures:
    """`growth`: kilobytes a minute, behind a steep start."""
    seconds = [5.0 * number for number in range(int(minutes * 12))]
    samples = [Sample(each, int(50_000 + min(each * 100, 6000) + each / 60 * growth), 20) for each in seconds]
    return Figures(samples[0], samples, Sample(minutes * 60, 60_000, 20 + left))


@pytest.mark.parametrize(
    ("growth", "found"), [(0, False), (-100, False), (STEEPEST - 20, False), (STEEPEST + 20, True)]
)
def test_memory_that_grows_is_found(growth: float, found: bool) -> None:
    faults = figures(growth).faults()
    assert bool(faults) == found
    assert all("memory grows" in fault for fault in faults)


def test_of_a_short_time_memory_is_not_judged() -> None:
    assert figures(10_000, minutes=1).slope is None
    assert figures(10_000, minutes=1).faults() == []


def test_descriptors_and_sessions_that_are_left_are_found() -> None:
    left = figures(0, left=3)
    left.left = ["usual/1", "slow/2"]
    assert left.faults() == ["3 descriptors are left open", "2 sessions of the gateway are left open: usual/1, slow/2"]


def test_a_process_is_sampled() -> None:
    seen = sample(os.getpid(), 1.5)
    assert seen.seconds == 1.5
    assert seen.kilobytes > 10_000
    assert seen.descriptors > 2


def test_no_two_words_are_the_same() -> None:
    load, number = asked("usual/7")
    words = words_of(load, number) + words_of(load, 8)
    assert len({*words}) == len(words) == 2 * load.words
