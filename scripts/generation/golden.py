"""Writes tests/golden/cases/*.{openai,responses,messages}.* from the current code.

Read the diff: clients will notice it. With the arguments RECORDING NAME it first makes a case of a recording
(see `oaicompat-proxy replay`).
"""

from __future__ import annotations

import sys
from pathlib import Path

from oaicompat_proxy.recordings.format import read
from tests.golden.test_golden import NAMES, answers, case_of

ROOT = Path(__file__).resolve().parents[2]


def add_case(recording: Path, name: str) -> None:
    for path, content in case_of(name, read(recording.read_bytes())).items():
        path.write_bytes(content)
        _report(f"{path.relative_to(ROOT)} is new")


def write_answers(name: str) -> int:
    """Writes the answers of a case, and returns the number of files that have changed."""
    changed = 0
    for path, expected in answers(name):
        before = path.read_bytes() if path.exists() else None
        if before == expected:
            continue
        changed += 1
        _report(f"{path.relative_to(ROOT)} {'is new' if before is None else 'has changed'}")
        if expected is None:
            path.unlink()
        else:
            path.write_bytes(expected)
    return changed


def main(*arguments: str) -> None:
    names = NAMES
    if arguments:
        recording, name = arguments
        add_case(Path(recording), name)
        names = sorted({*NAMES, name})
    _report(f"{len(names)} transcripts, {sum(map(write_answers, names))} files written")


def _report(line: str) -> None:
    print(line)  # noqa: T201


if __name__ == "__main__":
    main(*sys.argv[1:])
