"""The load client: raw connections that send requests and buffer the answers, which are checked after the load.

`python -m benchmark.load.client` reads an `Order` as one line of JSON, prepares, prints `ready`, measures after the
next line, prints the seconds and its own processor time as JSON, and after the next line a `Summary`. It waits for a
line each time so that processor times are read while nothing runs.
"""

from __future__ import annotations

import asyncio
import gc
import json
import sys
import time
from dataclasses import asdict

import click
import uvloop

from .drivers import DRIVERS
from .order import parse_order


async def main() -> None:
    lines = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    order = parse_order(await lines.readline())
    driver = DRIVERS[order.mode](order)
    await driver.prepare()
    click.echo("ready")
    await lines.readline()
    began, spent = time.monotonic(), time.process_time_ns()
    await driver.measure()
    click.echo(json.dumps({"seconds": time.monotonic() - began, "client_cpu": time.process_time_ns() - spent}))
    await lines.readline()
    click.echo(json.dumps(asdict(await driver.finish())))
    driver.close()


if __name__ == "__main__":
    gc.disable()  # a process lives for one load, and its pauses would count as the target's latency
    uvloop.run(main())
