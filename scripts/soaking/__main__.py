"""`scripts/soak`: the command line and the verdict."""

from __future__ import annotations

import asyncio
import sys

import click

from .figures import STEEPEST
from .soak import Soak, soak


@click.command("scripts/soak", context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--minutes", type=click.FloatRange(min=0.01), default=10.0, show_default=True, help="How long.")
@click.option("--clients", type=click.IntRange(1, 1000), default=16, show_default=True, help="How many at once.")
@click.option("--seed", type=int, default=1, show_default=True, help="Of the chance that chooses what is asked.")
def main(minutes: float, clients: int, seed: int) -> None:
    """Loads a real proxy with good and bad agents and clients, checks every answer, and looks for leaks."""
    done = asyncio.run(soak(minutes * 60, clients, seed))
    click.echo("\n".join(report(done)))
    sys.exit(1 if done.faults() else 0)


def report(done: Soak) -> list[str]:
    figures, tally = done.figures, done.tally
    total = tally.done.total()
    after = figures.after or figures.before
    slope = "too short to judge" if figures.slope is None else f"{figures.slope:+.0f} KB a minute in the second half"
    lines = [
        f"{total:,} requests in {done.seconds:.0f} s, {total / done.seconds:.0f} a second",
        *(f"  {count:7,} {name}" for name, count in tally.done.most_common()),
        f"memory       {figures.before.kilobytes / 1024:.1f} MB before, {after.kilobytes / 1024:.1f} MB after, "
        f"{slope} (at most {STEEPEST:.0f})",
        f"descriptors  {figures.before.descriptors} before, "
        f"{max((each.descriptors for each in figures.under_load), default=0)} at most, {after.descriptors} after",
        f"sessions     {len(figures.left)} left open",
        *(f"  {example}" for example in tally.examples),
        *(line for line in done.output.splitlines() if "ERROR" in line),
    ]
    faults = done.faults()
    return [*lines, *(f"fault: {fault}" for fault in faults), f"verdict: {'leaks or breaks' if faults else 'sound'}"]


if __name__ == "__main__":
    main()
