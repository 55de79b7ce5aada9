"""The frameworks of the table in the dialect's README: what to install, what to set, what they cannot do."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
HOMES = ROOT / ".clients"
AGENTS = Path(__file__).parent / "agents"
TABLE = ROOT / "oaicompat_proxy" / "dialects" / "ag_ui" / "README.md"
SERVES = ("fastapi", "uvicorn")
"""What every agent is served by."""
INSTALL = 300.0
"""Seconds; CrewAI has a gigabyte."""

ROW = re.compile(r"^\| ([^|]+?) \| (`[^|]+) \| [^|]+ \|([^|]*)\|([^|]*)\|$", re.MULTILINE)
PACKAGE = re.compile(r"`([^`]+)`(?: ([\d.]+\d))?")


@dataclass(frozen=True)
class Framework:
    name: str
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
        return AGENTS / f"{self.name.lower().replace(' ', '_')}_agent.py"

    @property
    def python(self) -> Path:
        return self.home / "venv" / "bin" / "python"

    def install(self) -> None:
        """Into an environment of its own; nothing if that was done since the row last changed."""
        words = [name for name, _ in self.packages] + list(SERVES)
        stamp = self.home / "installed"
        if stamp.exists() and stamp.read_text() == shlex.join(words):
            return
        shutil.rmtree(self.home, ignore_errors=True)
        self.home.mkdir(parents=True)
        for command in (["venv", "--python", sys.executable, "venv"], ["pip", "install", "--python", "venv", *words]):
            uv = [sys.executable, "-m", "uv", *command, "--quiet"]
            subprocess.run(uv, cwd=self.home, check=True, timeout=INSTALL)
        stamp.write_text(shlex.join(words))

    def version(self) -> str:
        """Of its first package, as it is installed."""
        name = self.packages[0][0].partition("[")[0]
        said = [str(self.python), "-c", f"from importlib.metadata import version; print(version({name!r}))"]
        return subprocess.run(said, capture_output=True, text=True, check=True).stdout.strip()


def read_frameworks() -> dict[str, Framework]:
    """The rows that have packages, by their names."""
    return {row[0]: _read_row(*row) for row in ROW.findall(TABLE.read_text("utf-8"))}


def _read_row(name: str, packages: str, settings: str, cannot: str) -> Framework:
    words = [word for code in re.findall(r"`([^`]+)`", settings) for word in shlex.split(code)]
    flags = tuple(word for word in words if word != "X-Session-Id")
    return Framework(name, tuple(PACKAGE.findall(packages)), flags, "X-Session-Id" in words, cannot.strip())
