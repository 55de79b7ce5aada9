"""The laws of `scripts/fuzz`: they hold for its seeds and for neighbours of theirs, and a fuzzer finds nothing soon.

The search proper is longer; where the fuzzer is not installed, the neighbours are all there is.
"""

from __future__ import annotations

import importlib.util
import os
import random
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.examples import at_most
from tests.support.paths import ROOT

SCRIPTS = ROOT / "scripts"
sys.path.append(str(SCRIPTS))

from fuzzing.neighbours import neighbours  # noqa: E402
from fuzzing.targets import FRAME_SEEDS, TARGETS, Target, interpreted  # noqa: E402

pytestmark = pytest.mark.slow

SECONDS = {
    "frames": 2,
    "run": 8,
    "ag-ui": 8,
    "answers": 8,
    "masked": 4,
    "media": 3,
    "request": 4,
    "responses": 4,
    "messages": 4,
    "settings": 3,
    "keys": 3,
}
TRIES = {
    "frames": 3000,
    "run": 600,
    "ag-ui": 600,
    "answers": 300,
    "masked": 600,
    "media": 3000,
    "request": 3000,
    "responses": 3000,
    "messages": 3000,
    "settings": 1000,
    "keys": 1000,
}

FOUND: dict[str, list[bytes]] = {
    "frames": [],
    "run": [
        # a tick without `data`, whole and cut
        b'\x01\0\0\x01data:{"event":"content_delta","data":{"executionId":"0"}}\n\n'
        b'data: {"type":"event","event":"tick_start","":{"":""}}\n\ndata:{"event":"model_response"\n\n',
    ],
    "ag-ui": [],
    "answers": [],
    "masked": [
        # an error message that is cut: the line end was lost with it
        b'\x00\x00\x00\x01data: {"type":"event","event":"error","data":{"error":"Cut\n'
        b'data: {"type":"event","event":"message"}\n',
    ],
    "media": [],
    "request": [],
    "responses": [],
    "messages": [],
    "settings": [],
    "keys": [],
}
"""Inputs that a search has found; their bugs are mended."""


@pytest.mark.parametrize("name", TARGETS)
def test_the_laws_hold_for_the_seeds_and_all_that_was_found(name: str) -> None:
    target, seeds = TARGETS[name]
    for data in [b"", b"\0", *seeds(), *FOUND[name]]:
        target(data)


@pytest.mark.parametrize("name", TARGETS)
def test_the_laws_hold_for_neighbours_of_the_seeds(name: str) -> None:
    target, seeds = TARGETS[name]
    for data in neighbours(seeds(), at_most(TRIES[name]), random.Random(name)):
        holds(target, data)


def holds(target: Target, data: bytes) -> None:
    try:
        target(data)
    except Exception as error:
        raise AssertionError(f"the law of {target.__name__} does not hold for {data!r}") from error


def test_the_standards_own_words_are_read_as_it_gives_them() -> None:
    assert [*interpreted(FRAME_SEEDS[0])] == [(b"one", b"message"), (b"two", b"message"), (b"", b"name")]


@pytest.mark.skipif(importlib.util.find_spec("atheris") is None, reason="the fuzzer is not installed: setup.cfg, fuzz")
@pytest.mark.parametrize("name", TARGETS)
def test_a_fuzzer_finds_nothing_soon(name: str, tmp_path: Path) -> None:
    paths = os.pathsep.join(map(str, (ROOT, SCRIPTS)))
    done = subprocess.run(
        [sys.executable, "-m", "fuzzing", name, str(SECONDS[name])],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": paths},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert "number_of_executed_units" in done.stderr
    shutil.rmtree(tmp_path / ".fuzz")
