from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from oaicompat_proxy import __version__
from oaicompat_proxy.core.build import FORM


def ask(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, timeout=30, check=True).stdout


def test_the_module_is_the_command() -> None:
    usage, *module = ask(sys.executable, "-m", "oaicompat_proxy", "--help").splitlines()
    _, *command = ask(str(Path(sys.executable).parent / "oaicompat-proxy"), "--help").splitlines()
    assert module == command
    assert usage == "Usage: python -m oaicompat_proxy [OPTIONS] [COMMAND …]"


def test_the_module_has_the_commands_version() -> None:
    assert (
        ask(sys.executable, "-m", "oaicompat_proxy", "--version")
        == f"oaicompat-proxy, version {__version__} ({FORM})\n"
    )
