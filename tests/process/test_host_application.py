"""`create_app` in a process of somebody else: it serves, and what holds for the whole process stays as it is."""

from __future__ import annotations

import subprocess
import sys

HOST = """
import asyncio, gc, logging, os, resource, signal, sys, warnings

import aiohttp, aiohttp_sse, click, limits, orjson, prometheus_client, pydantic, tenacity
from aiohttp import web
from prometheus_client import CollectorRegistry, Counter, generate_latest


def process():
    counter = Counter("seen", "Of the host.", registry=(registry := CollectorRegistry()))
    counter.inc()
    root = logging.getLogger()
    named = {name: each for name, each in logging.root.manager.loggerDict.items() if isinstance(each, logging.Logger)}
    ours = [each for name, each in named.items() if name.startswith("oaicompat_proxy")]
    return {
        "root logger": (root.level, list(root.handlers), list(root.filters)),
        "our loggers": [each.name for each in ours if each.level or each.handlers or not each.propagate],
        "logging": {name: value for name, value in vars(logging).items() if not name.startswith("__")},
        "log record": logging.getLogRecordFactory(),
        "logger class": logging.getLoggerClass(),
        "signal handlers": {each: signal.getsignal(each) for each in signal.valid_signals()},
        "garbage collector": (gc.isenabled(), gc.get_threshold(), gc.get_freeze_count(), list(gc.callbacks)),
        "warnings": (list(warnings.filters), warnings.showwarning),
        "hooks": (sys.excepthook, sys.unraisablehook, sys.displayhook),
        "event loop policy": asyncio.get_event_loop_policy(),
        "open files": resource.getrlimit(resource.RLIMIT_NOFILE),
        "environment": dict(os.environ),
        "_created in metrics": b"seen_created" in generate_latest(registry),
    }


asyncio.get_event_loop_policy()
before = process()

import oaicompat_proxy.cli
from oaicompat_proxy.config.settings import Config
from oaicompat_proxy.server.app import create_app


async def serve():
    loop = asyncio.get_running_loop()
    hook = loop.get_exception_handler()
    host = web.Application()
    host.add_subapp("/agent", create_app(Config(upstream="http://127.0.0.1:9")))
    runner = web.AppRunner(host)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    base = "http://127.0.0.1:%d/agent" % runner.addresses[0][1]
    body = {"model": "m", "stream": True, "messages": [{"role": "user", "content": "Hello"}]}
    async with aiohttp.ClientSession() as session:
        for method, path, sent, expected in (
            ("GET", "/healthz", None, 200), ("GET", "/metrics", None, 200), ("POST", "/v1/chat/completions", body, 502),
        ):
            async with session.request(method, base + path, json=sent) as response:
                assert response.status == expected, (path, response.status, await response.text())
        during = process()
    await runner.cleanup()
    assert loop.get_exception_handler() is hook
    return during


loop = asyncio.new_event_loop()
for found in (loop.run_until_complete(serve()), process()):
    changed = [name for name, value in before.items() if found[name] != value]
    assert changed == [], changed
loop.close()
"""


def test_a_host_keeps_its_logging_signals_collector_and_warnings() -> None:
    done = subprocess.run([sys.executable, "-c", HOST], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr[-3000:]
