"""The frameworks of the table in `dialects/ag_ui/README.md`: packages, settings, and what each cannot do."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from tests.support.paths import ROOT

HOMES = ROOT / ".clients"
AGENTS = Path(__file__).parent / "agents"
TABLE = ROOT / "oaicompat_proxy" / "dialects" / "ag_ui" / "README.md"
SERVES = ("fastapi", "uvicorn")
"""What every agent is served by."""
INSTALL = 400.0
"""Seconds; CrewAI has a gigabyte."""

ROW = re.compile(r"^\| ([^|]+?) \| ((?:npm: )?`[^|]+) \| [^|]+ \|([^|]*)\|([^|]*)\|$", re.MULTILINE)
PACKAGE = re.compile(r"`([^`]+)`(?: ([\d.]+\d))?")


@dataclass(frozen=True)
class Framework:
    name: str
    is_python: bool
    """Its packages come from PyPI, else from npm."""
    packages: tuple[tuple[str, str], ...]
    """Each with the version that the table was written for, if it says one."""
    flags: tuple[str, ...]
    names_session: bool
    """The client has to name its session."""
    cannot: str

    @property
    def home(self) -> Path:
        return HOMES / f"agent-{self.name.lower().replace(' ', '-')}"

    @property
    def program(self) -> Path:
        return AGENTS / f"{self.name.lower().replace(' ', '_')}_agent.{'py' if self.is_python else 'mjs'}"

    @property
    def command(self) -> tuple[str, str]:
        """What runs the agent."""
        if self.is_python:
            return str(self.home / "venv" / "bin" / "python"), str(self.program)
        return "node", str(shutil.copy(self.program, self.home))  # it looks for packages where it lies

    def install(self) -> None:
        """Into an environment of its own; nothing if that was done since the row last changed."""
        words = [name for name, _ in self.packages] + (list(SERVES) if self.is_python else [])
        stamp = self.home / "installed"
        if stamp.exists() and stamp.read_text() == shlex.join(words):
            return
        shutil.rmtree(self.home, ignore_errors=True)
        self.home.mkdir(parents=True)
        if self.is_python:
            uv = (sys.executable, "-m", "uv")
            self._call(*uv, "venv", "--quiet", "--python", sys.executable, "venv")
            self._call(*uv, "pip", "install", "--quiet", "--python", "venv", *words)
        else:
            self._call("npm", "install", "--prefix", ".", "--no-audit", "--no-fund", "--silent", *words)
        stamp.write_text(shlex.join(words))

    def version(self) -> str:
        """Of its first package, as it is installed."""
        name = self.packages[0][0].partition("[")[0]
        if not self.is_python:
            manifest = self.home / "node_modules" / name / "package.json"
            return str(json.loads(manifest.read_text("utf-8"))["version"])
        asks = f"from importlib.metadata import version; print(version({name!r}))"
        return self._call(self.command[0], "-c", asks).strip()

    def _call(self, *command: str) -> str:
        done = subprocess.run(
            command, cwd=self.home, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=INSTALL
        )
        assert done.returncode == 0, f"{shlex.join(command)} ended with {done.returncode}:\n{done.stdout}{done.stderr}"
        return done.stdout


def read_frameworks() -> dict[str, Framework]:
    """The rows that have packages, by their names."""
    return {row[0]: _read_row(*row) for row in ROW.findall(TABLE.read_text("utf-8"))}


def _read_row(name: str, packages: str, settings: str, cannot: str) -> Framework:
    words = [word for code in re.findall(r"`([^`]+)`", settings) for word in shlex.split(code)]
    flags = tuple(word for word in words if word != "X-Session-Id")
    is_python = not packages.startswith("npm:")
    return Framework(name, is_python, tuple(PACKAGE.findall(packages)), flags, "X-Session-Id" in words, cannot.strip())
