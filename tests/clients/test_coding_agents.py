"""Coding agents of the README: installed as it says, run as it says, and how often each asks for one question.

Some have a title made, or check their answer, by runs of their own: README says which, so that nobody wonders.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.clients.recipes import Place, read_recipes
from tests.clients.test_clients import FLAGS, PLACES, QUIET, count_runs, greets
from tests.support.processes import Child, stopping

pytestmark = pytest.mark.timeout(600)


@dataclass(frozen=True)
class CodingAgent:
    version: str
    """The command that prints the version."""
    runs: int
    """Of the agent, for one question."""
    python: str = sys.executable


def python_since(minor: int) -> str:
    """One of this machine, also of pyenv, whose names for them work only where it is switched on."""
    if sys.version_info >= (3, minor):
        return sys.executable
    homes = Path.home().glob(".pyenv/versions/3.*/bin/python")
    later = [home for home in homes if int(home.parts[-3].split(".")[1]) >= minor]
    return str(min(later, default=f">=3.{minor}"))


SDK_VERSION = """python -c 'from importlib.metadata import version; print(version("openhands-sdk"))'"""
CLAUDE = '"$(npm root)/@anthropic-ai/claude-code-linux-x64/claude"'
CODING_AGENTS = {
    "Codex": CodingAgent("codex --version", 1),
    "Claude Code": CodingAgent(f"{CLAUDE} --version", 1),
    "GitHub Copilot CLI": CodingAgent("copilot --version", 1),
    "Continue": CodingAgent("cn --version", 1),
    "Cline": CodingAgent("cline --version", 1),
    "Qwen Code": CodingAgent("qwen --version", 3),
    "pi": CodingAgent("pi --version", 1),
    "Hermes": CodingAgent("hermes --version", 1),
    "OpenHands": CodingAgent(SDK_VERSION, 1, python=python_since(12)),
    "Vibe": CodingAgent("vibe --version", 1, python=python_since(12)),
}


def test_every_coding_agents_recipe_is_run() -> None:
    assert list(read_recipes("coding agent")) == list(CODING_AGENTS)


@pytest.mark.parametrize("name", CODING_AGENTS)
def test_runs_for_one_question(name: str, record_property: Callable[[str, str], None]) -> None:
    coding_agent = CODING_AGENTS[name]
    place = Place(PLACES / name.replace(" ", "-").lower(), read_recipes("coding agent")[name], coding_agent.python)
    place.install()
    home = str(place.home / "run")
    with stopping(Child(sys.executable, "-m", "oaicompat_proxy", "--demo", *FLAGS)) as proxy:
        base = proxy.wait_for(r"listens on +(http://127\.0\.0\.1:\d+)")[1]
        gateway = proxy.wait_for(r"gateway +(http://127\.0\.0\.1:\d+)")[1]
        screen = place.run("coding_agent.py", base, HOME=home, VERSION=coding_agent.version, **QUIET)
        runs = count_runs(gateway)
    version = json.loads(Path(home, "showed.json").read_text("utf-8"))["version"]
    record_property("shown", f"{runs}, {version}")
    assert greets(screen), screen
    assert runs == coding_agent.runs
