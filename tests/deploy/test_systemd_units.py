"""The systemd units that we ship, as systemd's own tools read them, and as the code has it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from oaicompat_proxy.cli import StartError
from oaicompat_proxy.config.command_line import ENVIRONMENT_PREFIX
from oaicompat_proxy.config.settings import Config
from oaicompat_proxy.server.process.serve import EXIT_INTERRUPTED
from oaicompat_proxy.server.process.sockets import OTHER_OPEN_FILES
from oaicompat_proxy.server.process.worker import longest_shutdown
from tests.support.paths import ROOT

UNITS = ROOT / "scripts" / "deploy" / "systemd"
SERVICE = UNITS / "oaicompat-proxy.service"
SOCKET = UNITS / "oaicompat-proxy.socket"
PROGRAM = "/opt/oaicompat-proxy/bin/oaicompat-proxy"
MOST_EXPOSED = 15
"""Tenths; 100 is open to everything. Each version of systemd counts a little differently."""


def values(unit: Path, name: str) -> list[str]:
    return re.findall(rf"^{name}=(.*)$", unit.read_text(), re.M)


def value(unit: Path, name: str) -> str:
    (only,) = values(unit, name)
    return only


@pytest.fixture
def analyze() -> str:
    program = shutil.which("systemd-analyze")
    if program is None:
        pytest.skip("there is no systemd on this machine")
    return program


def test_systemd_finds_no_fault(analyze: str, tmp_path: Path) -> None:
    shutil.copy(SOCKET, tmp_path)
    assert value(SERVICE, "ExecStart") == PROGRAM
    unit = tmp_path / SERVICE.name
    unit.write_text(SERVICE.read_text().replace(f"={PROGRAM}\n", f"={sys.executable}\n"))
    done = subprocess.run([analyze, "verify", str(unit)], capture_output=True, text=True, timeout=60, check=False)
    ours = [line for line in done.stderr.splitlines() if "oaicompat" in line or str(tmp_path) in line]
    assert (done.returncode, ours) == (0, [])


def test_it_is_closed(analyze: str) -> None:
    command = [analyze, "security", "--offline=true", f"--threshold={MOST_EXPOSED}", str(SERVICE)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_it_has_the_time_that_the_proxy_takes_to_end() -> None:
    longest = longest_shutdown(Config(demo=True))
    assert longest < float(value(SERVICE, "TimeoutStopSec")) < longest + 30


def test_it_knows_what_exit_statuses_mean() -> None:
    assert value(SERVICE, "RestartPreventExitStatus") == str(StartError.exit_code)
    assert value(SERVICE, "SuccessExitStatus") == str(EXIT_INTERRUPTED)


def test_it_may_open_a_file_for_each_way_of_each_connection() -> None:
    assert int(value(SERVICE, "LimitNOFILE")) >= 2 * Config(demo=True).max_connections + OTHER_OPEN_FILES


def test_it_names_settings_that_exist() -> None:
    assert [line.split("=")[0] for line in values(SERVICE, "Environment")] == [f"{ENVIRONMENT_PREFIX}API_KEYS_FILE"]
    assert Config(demo=True, api_keys_file="x").has_keys


def test_it_listens_where_nginx_calls() -> None:
    config = Config(demo=True)
    assert value(SOCKET, "ListenStream") == f"{config.host}:{config.port}"


def test_every_unit_is_one_that_these_tests_know() -> None:
    assert set(os.listdir(UNITS)) == {SERVICE.name, SOCKET.name}
