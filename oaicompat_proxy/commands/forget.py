"""`oaicompat-proxy forget`: lists or deletes what a running proxy keeps of one key."""

from __future__ import annotations

import json

import click
from yarl import URL

from .client import request_json
from .url_option import key_header, key_option, url_option

TIMEOUT = 60.0
"""Seconds for the whole response: the proxy may search a file of some gigabytes."""


@click.command("forget")
@url_option
@click.option("--key", default="", metavar="NAME", help="Name of the key; by default the caller's own.")
@click.option("--user", default="", metavar="NAME", help="Only what is kept of this user of the key.")
@click.option("--list", "only_list", is_flag=True, help="Print what is kept, and delete nothing.")
@key_option
def forget(url: URL, key: str, user: str, only_list: bool, api_key: str) -> None:
    """Delete what the running proxy keeps of one key and its users, or of one user: responses, sessions, recordings.

    Another key than the caller's own, or a user, needs forget = true in the caller's entry of the keys file. Prints
    the number of each kind as JSON. Exit status: 0 done, 1 refused or not reached.
    """
    wanted = (url / "kept_data").with_query({name: value for name, value in (("key", key), ("user", user)) if value})
    kept = request_json("GET" if only_list else "DELETE", wanted, key_header(api_key), timeout=TIMEOUT)
    click.echo(json.dumps(kept["kinds"], indent=2))
