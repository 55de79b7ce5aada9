"""`python -m fuzzing TARGET SECONDS`: one search, guided by what the input makes the code do.

What it finds interesting is kept in `.fuzz/TARGET`; input that breaks a law is written beside it, and ends the
search with a stack trace.
"""

from __future__ import annotations

import sys
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["oaicompat_proxy"]):
    from fuzzing.targets import TARGETS

LONGEST_INPUT = 32 * 1024
LONGEST_TRY = 10
"""Seconds for one input; a longer time is a failure."""
MOST_MEMORY = 2048
"""Megabytes."""


def main(name: str, seconds: str) -> None:
    target, seeds = TARGETS[name]
    corpus = Path(".fuzz") / name
    corpus.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(seeds()):
        (corpus / f"seed-{number}").write_bytes(seed)
    flags = {
        "max_total_time": seconds,
        "max_len": LONGEST_INPUT,
        "timeout": LONGEST_TRY,
        "rss_limit_mb": MOST_MEMORY,
        "artifact_prefix": f".fuzz/{name}-",
        "print_final_stats": 1,
        "verbosity": 0,
    }
    atheris.Setup([sys.argv[0], *(f"-{flag}={value}" for flag, value in flags.items()), str(corpus)], target)
    atheris.Fuzz()


if __name__ == "__main__":
    main(*sys.argv[1:])
