"""What a client showed, written down for the test that started it: one name for each check, in `showed.json`."""

from __future__ import annotations

import asyncio
import inspect
import json
import os
import signal
import subprocess
import time
import traceback
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

Check = Callable[[], Any]
"""A function, or a coroutine function: what it returns is what was shown."""
PATIENCE = 60.0
"""Seconds for a command of a client."""


def show(*checks: Check) -> None:
    """Runs each, coroutines in one loop as their clients' connections want it, and notes it under its name."""
    Path("showed.json").write_text(json.dumps(asyncio.run(_show(checks))), "utf-8")


async def _show(checks: Iterable[Check]) -> dict[str, Any]:
    showed = {}
    for check in checks:
        try:
            what = check()
            showed[check.__name__] = await what if inspect.isawaitable(what) else what
        except Exception:  # the others still have something to show
            traceback.print_exc()
    return showed


def weather(city: str) -> str:
    """The weather of a city"""
    return f"21 degrees in {city}"


async def stopped(text: str) -> bool:
    """Whether the agent's run is over soon after its client left; by itself the slow answer takes nine seconds."""
    if "I am" not in text or "word" in text:
        return False  # it did not leave in the middle
    deadline = time.monotonic() + 4
    while time.monotonic() < deadline:
        if not any(map(is_active, ask_gateway("sessions")["sessions"])):
            return True
        await asyncio.sleep(0.1)
    return False


def is_active(session: dict[str, Any]) -> bool:
    """Whether a run goes on in it; the session of a stored response is kept for the next one."""
    found = ask_gateway("status", sessionId=session["id"]).get("session")
    return found is not None and bool(found["isActive"])


def ask_gateway(method: str, **params: str) -> Any:
    body = json.dumps({"method": method, "params": params}).encode()
    request = Request(os.environ["GATEWAY"] + "/invoke", body, {"Content-Type": "application/json"})
    with urlopen(request) as answer:
        return json.load(answer)


def ask(question: str, *, until: str | None = None, **environment: str) -> list[str]:
    """What the README's command writes when it is asked this instead; interrupted as soon as it says `until`."""
    command = Path("recipe.sh").read_text("utf-8")
    assert command.count("Hello") == 1
    return run(command.replace("Hello", question), until, **environment)


def run(command: str, until: str | None = None, **environment: str) -> list[str]:
    process = subprocess.Popen(
        ["bash", "-c", command],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        env={**os.environ, **environment},
    )
    assert process.stdout
    pieces: list[str] = []
    with process.stdout as output:
        while chunk := os.read(output.fileno(), 65536):
            pieces.append(chunk.decode("utf-8", "replace"))
            if until and until in joined(pieces):
                os.killpg(process.pid, signal.SIGINT)
                until = None
    process.wait(PATIENCE)
    return pieces


def joined(pieces: Iterable[str]) -> str:
    """Words in one line, since terminals are for reading."""
    return " ".join("".join(pieces).split())
