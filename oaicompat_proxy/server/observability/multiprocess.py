"""Metrics of several workers. Each writes files into one directory, and the worker that is scraped adds them up.

Source: prometheus-client, "Multiprocess Mode (e.g. Gunicorn)".
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator

from prometheus_client import CollectorRegistry, multiprocess, values

from ...config.settings import ConfigError

VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
"""Names the directory, for the library and for the workers. The directory is empty when the first worker starts."""


@contextlib.contextmanager
def sharing() -> Iterator[None]:
    """A context around all workers, entered before the first fork. Uses and keeps the directory in VARIABLE, if set.

    Raises ConfigError.
    """
    with contextlib.ExitStack() as stack:
        if VARIABLE not in os.environ:
            os.environ[VARIABLE] = _new_directory()
            stack.callback(_remove, os.environ[VARIABLE], os.getpid())
            stack.callback(os.environ.pop, VARIABLE)
        # the library chose its class of values at import, when the variable was not set
        values.ValueClass = values.get_value_class()
        stack.callback(setattr, values, "ValueClass", values.MutexValue)
        yield


def _new_directory() -> str:
    """Raises ConfigError on a file system that is read-only."""
    try:
        return tempfile.mkdtemp(prefix="oaicompat-metrics-")
    except OSError as error:
        raise ConfigError(
            "--workers needs a directory for temporary files; name one that can be written in TMPDIR, such as "
            f"/dev/shm: {error.strerror or error}"
        ) from None


def _remove(directory: str, owner: int) -> None:
    """Removes the directory, only in the process that made it: workers exit the context as well."""
    if os.getpid() == owner:
        shutil.rmtree(directory)


def is_shared() -> bool:
    return VARIABLE in os.environ


def forget_worker(pid: int) -> None:
    """Drops the gauges of a worker that has ended. Its counters stay."""
    multiprocess.mark_process_dead(pid)


def gather() -> CollectorRegistry:
    """The metrics of all workers."""
    registry = CollectorRegistry()
    multiprocess.MultiProcessCollector(registry)
    return registry
