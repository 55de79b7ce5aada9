"""The machine of a measurement, and the load of other processes on it."""

from __future__ import annotations

import os
import platform
import re
import subprocess
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from ..targets.stage import nginx_program

PACKAGES = ("oaicompat-proxy", "aiohttp", "uvloop", "httptools", "orjson")


def conditions() -> dict[str, str]:
    """Hardware, software and settings, for the report."""
    return {
        "date": time.strftime("%Y-%m-%d"),
        "processor": _processor(),
        "cores": str(os.cpu_count()),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        **{name: _version(name) for name in PACKAGES},
        **_nginx(),
    }


def busy() -> int:
    """Nanoseconds for which all processors together were busy, with the time stolen by other virtual machines."""
    fields = Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]
    user, nice, system, _, _, irq, softirq, steal = map(int, fields[:8])
    return (user + nice + system + irq + softirq + steal) * (1_000_000_000 // os.sysconf("SC_CLK_TCK"))


def why_not() -> str:
    """The reason why this machine cannot measure; empty if it can."""
    try:
        spent = int(Path("/proc/self/schedstat").read_text().split()[0])
    except (OSError, ValueError, IndexError):
        return "processor time is read from Linux's /proc/PID/schedstat, which is not here"
    if not spent:
        return "this kernel does not count processor time in /proc/PID/schedstat"
    if not Path(f"/proc/self/task/{os.getpid()}/children").exists():
        return "this kernel does not list a process's children in /proc/PID/task/TID/children"
    return ""


def _processor() -> str:
    found = re.search(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text(), re.M)
    return found[1] if found else platform.machine()


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"


def _nginx() -> dict[str, str]:
    program = nginx_program()
    if program is None:
        return {}
    output = subprocess.run([program, "-v"], capture_output=True, text=True, timeout=10, check=False).stderr
    return {"nginx": output.strip().rpartition("/")[2]}
