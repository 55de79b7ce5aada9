from __future__ import annotations

import os
import subprocess
import sys

import pytest

SETUP = """
import logging, sys
from prometheus_client import CollectorRegistry, Counter, generate_latest
from oaicompat_proxy.server.observability.process_setup import set_up_process

if sys.argv[2]:
    logging.basicConfig(format="HOST %(message)s")
set_up_process("info", sys.argv[1])
logging.getLogger("oaicompat_proxy.runs").info("Hello")
logging.getLogger("oaicompat_proxy.runs").debug("too much")
Counter("seen", "", registry=(registry := CollectorRegistry())).inc()
print(generate_latest(registry).decode())
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("log_format", "host", "line"),
    [
        ("text", "", " INFO oaicompat_proxy.runs: Hello\n"),
        ("json", "", '"level":"info","logger":"oaicompat_proxy.runs","message":"Hello"}\n'),
        ("text", "has a handler", ""),
    ],
)
def test_lines_go_to_stderr_unless_the_process_has_a_handler_already(log_format: str, host: str, line: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SETUP, log_format, host], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stderr.endswith(line)
    assert done.stderr.count("\n") == (1 if line else 0)
    assert "seen_total 1.0" in done.stdout
    assert "seen_created" not in done.stdout


def test_a_stderr_without_a_reader_stops_nothing() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = subprocess.run(
            [sys.executable, "-c", SETUP, "text", ""], stdout=subprocess.PIPE, stderr=writing, check=False, timeout=60
        )
    finally:
        os.close(writing)
    assert b"seen_total 1.0" in done.stdout


CLOSED = """
import os, socket
from oaicompat_proxy.server.observability.process_setup import set_up_process

os.closerange(0, 3)
set_up_process("info", "text")
raise SystemExit(socket.socket().fileno())
"""


@pytest.mark.slow
def test_no_socket_gets_the_number_of_a_closed_standard_stream() -> None:
    assert subprocess.run([sys.executable, "-c", CLOSED], timeout=60, check=False).returncode > 2
