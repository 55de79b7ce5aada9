"""The scripts, run for real on venvs made for the question."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from oaicompat_proxy import __version__
from tests.support.paths import ROOT

SERVE = ROOT / "scripts" / "serve"
COMMANDS = [
    *(ROOT / "scripts" / name for name in ("serve", "test", "check", "fuzz", "soak", "clients", "wheel", "compile")),
    *(ROOT / "scripts" / name for name in ("bench", "golden", "profile", "readme")),
    ROOT / ".ci" / "run",
]
ECHO = '#!/bin/sh\necho "$@"\n'


def write_script(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)


def run(*command: str | Path, venv: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("OAICOMPAT_")}
    env = {**inherited, "OAICOMPAT_VENV": str(venv), **environment}
    return subprocess.run(command, env=env, capture_output=True, text=True, timeout=30, check=False)


def installed(venv: Path, command: str) -> Path:
    """A venv in which nothing remains to be installed."""
    write_script(venv / "bin" / "oaicompat-proxy", command)
    (venv / "bin" / "python").symlink_to(sys.executable)
    (venv / ".installed").touch()
    return venv


@pytest.mark.parametrize(
    ("flags", "upstream", "given"),
    [
        ([], "", "--demo"),
        (["--port", "0"], "", "--demo --port 0"),
        (["--upstream-token", "t"], "", "--demo --upstream-token t"),
        (["--upstream", "http://a"], "", "--upstream http://a"),
        (["--port", "0", "--upstream=http://a"], "", "--port 0 --upstream=http://a"),
        (["--demo"], "", "--demo"),
        (["--help"], "", "--help"),
        (["-h"], "", "-h"),
        (["--version"], "", "--version"),
        (["--port", "0"], "http://a", "--port 0"),
        (["--config", "f"], "", "--config f"),
        (["--config=f"], "", "--config=f"),
    ],
)
def test_serve_fronts_the_demo_agent_by_default(tmp_path: Path, flags: list[str], upstream: str, given: str) -> None:
    done = run(SERVE, *flags, venv=installed(tmp_path, ECHO), OAICOMPAT_UPSTREAM=upstream)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{given}\n", "")


def test_serve_starts_the_proxy_with_words_as_they_were_given(tmp_path: Path) -> None:
    venv = installed(tmp_path / "a venv", '#!/bin/sh\nprintf "%s|" "$@"\n')
    assert run(SERVE, "--tick-separator", " * ", "", venv=venv).stdout == "--demo|--tick-separator| * ||"


def test_serve_starts_the_real_thing(tmp_path: Path) -> None:
    venv = installed(tmp_path, f'#!/bin/sh\nexec "{sys.executable}" -m oaicompat_proxy "$@"\n')
    assert __version__ in run(SERVE, "--version", venv=venv).stdout
    assert "--upstream URL" in run(SERVE, "--help", venv=venv).stdout


def test_a_missing_venv_is_made_once_with_a_python_that_is_new_enough(tmp_path: Path) -> None:
    path, venv, log = tmp_path / "path", tmp_path / "venv", tmp_path / "log"
    for old in ("python3.13", "python3"):
        write_script(path / old, "#!/bin/sh\nexit 1\n")
    # knows its version, and makes a venv of scripts that write down what they are asked
    write_script(
        path / "python3.12",
        f"""#!/bin/sh
        [ "$1" = -c ] && exit
        echo "$@" >> "{log}"
        mkdir -p "$3/bin"
        printf '#!/bin/sh\\necho "$@" >> "{log}"\\n' > "$3/bin/python"
        printf '#!/bin/sh\\necho "$@"\\n' > "$3/bin/oaicompat-proxy"
        chmod +x "$3/bin"/*
        """,
    )
    for _ in range(2):
        done = run(SERVE, venv=venv, PATH=f"{path}:{os.environ['PATH']}")
        assert (done.returncode, done.stdout) == (0, "--demo\n")
    made, installed = log.read_text().splitlines()
    assert made == f"-m venv {venv}"
    assert installed.startswith("-m pip install ")
    assert installed.endswith(f"--editable {ROOT}")


def test_without_a_python_that_is_new_enough_one_line_says_so(tmp_path: Path) -> None:
    for name in ("python3.13", "python3.12", "python3.11", "python3"):
        write_script(tmp_path / name, "#!/bin/sh\nexit 1\n")
    done = run(SERVE, venv=tmp_path / "venv", PATH=f"{tmp_path}:{os.environ['PATH']}")
    assert done.returncode == 1
    assert done.stderr == "Python 3.11 or newer is needed, and there is none on the PATH.\n"
    assert not (tmp_path / "venv").exists()


@pytest.mark.parametrize("path", [*COMMANDS, ROOT / "scripts" / "environment"], ids=lambda path: path.name)
def test_scripts_are_good_bash_and_say_what_they_do(path: Path) -> None:
    assert subprocess.run(["bash", "-n", path], capture_output=True, check=False).stderr == b""
    assert any(line.startswith("# ") for line in path.read_text().splitlines()[:2])


@pytest.mark.parametrize("path", COMMANDS, ids=lambda path: path.name)
def test_commands_can_be_run(path: Path) -> None:
    assert path.stat().st_mode & stat.S_IXUSR
    assert path.read_text().startswith("#!/usr/bin/env bash\n")
