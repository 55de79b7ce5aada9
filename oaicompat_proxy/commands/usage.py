"""`oaicompat-proxy usage`: prints the tokens and runs that a running proxy has counted."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import click
from yarl import URL

from .client import request_json
from .url_option import key_header, key_option, url_option

TIMEOUT = 30.0
"""Seconds for the whole response."""

COLUMNS = ("key", "user", "tokens", "runs")


@click.command("usage")
@url_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@key_option
def usage(url: URL, as_json: bool, api_key: str) -> None:
    """Print how much of their budgets keys and users have used on this day and in this month.

    Needs a key with usage = true in its entry of the keys file. Only keys with a budget, and their
    users, are counted. Exit status: 0 printed, 1 refused or not reached.
    """
    used = request_json("GET", url / "usage", key_header(api_key), timeout=TIMEOUT)
    click.echo(json.dumps(used, indent=2) if as_json else "\n\n".join(_table(used[kind]) for kind in ("day", "month")))


def _table(period: Mapping[str, Any]) -> str:
    """The rows of one period below each other, numbers on the right."""
    rows = [COLUMNS, *(tuple(_cells(each)) for each in period["used"])]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    title = f"{period['name']}, until {datetime.fromtimestamp(period['ends'], UTC):%Y-%m-%d %H:%M} UTC"
    return "\n".join([title, *(_line(row, widths) for row in rows)])


def _cells(row: Mapping[str, Any]) -> Iterator[str]:
    for name in ("key", "user"):
        text = row[name] or "-"
        yield text if text.isprintable() else ascii(text)
    for unit in ("tokens", "runs"):
        limit = row.get(f"{unit}_limit")
        yield str(row[unit]) if limit is None else f"{row[unit]} of {limit}"


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    key, user, tokens, runs = widths
    return f"{cells[0]:<{key}}  {cells[1]:<{user}}  {cells[2]:>{tokens}}  {cells[3]:>{runs}}"
