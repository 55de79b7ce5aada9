"""`oaicompat-proxy forget`: lists or deletes what a running proxy keeps of one key."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import aiohttp
import click
from yarl import URL

from .client import MAX_ERROR, status_text
from .connection_failure import describe
from .url_option import BaseUrl, key_header, key_option

TIMEOUT = 60.0
"""Seconds for the whole response: the proxy may search a file of some gigabytes."""


@click.command("forget")
@click.option("--url", type=BaseUrl(), default="http://127.0.0.1:8700/v1", show_default=True, help="Base address.")
@click.option("--key", "name", default="", metavar="NAME", help="Name of the key; by default the caller's own.")
@click.option("--user", default="", metavar="NAME", help="Only what is kept of this user of the key.")
@click.option("--list", "only_list", is_flag=True, help="Only tell what is kept.")
@key_option
def forget(url: URL, name: str, user: str, only_list: bool, api_key: str) -> None:
    """Delete what the running proxy keeps of one key and its users, or of one user: responses, sessions, recordings.

    Another key than the caller's own, or a user, needs forget = true in the caller's entry of the keys file. Prints
    the number of each kind as JSON. Exit status: 0 done, 1 refused or not reached.
    """
    try:
        kept = asyncio.run(_ask(url, {"key": name, "user": user}, key_header(api_key), deletes=not only_list))
    except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
        raise click.ClickException(f"{url}: {describe(error)}") from None
    click.echo(json.dumps(kept["kinds"], indent=2))


async def _ask(url: URL, about: dict[str, str], headers: dict[str, str], *, deletes: bool) -> dict[str, Any]:
    """The response's JSON. Raises ClickException for a refused request, and what aiohttp raises."""
    wanted = (url / "kept_data").with_query({name: value for name, value in about.items() if value})
    async with (
        aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(TIMEOUT)) as client,
        client.request("DELETE" if deletes else "GET", wanted, headers=headers) as response,
    ):
        if response.status != 200:
            raise click.ClickException(status_text(response.status, await response.content.read(MAX_ERROR)))
        body: dict[str, Any] = await response.json()
        return body
