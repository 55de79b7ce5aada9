"""`scripts/bench`: the command line."""

from __future__ import annotations

from .commands import bench

if __name__ == "__main__":
    bench(prog_name="scripts/bench")
