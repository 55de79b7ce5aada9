"""Metrics of several workers: each writes its own files into one directory, and whichever is asked adds them up.

Source: prometheus-client, "Multiprocess Mode (e.g. Gunicorn)".
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator

from prometheus_client import CollectorRegistry, multiprocess, values

VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
"""Names the directory, to the library and to the workers; empty at the start of all of them."""


@contextlib.contextmanager
def sharing() -> Iterator[None]:
    """Around all workers, before the first is made. A directory that is named already is used, and left."""
    with contextlib.ExitStack() as stack:
        if VARIABLE not in os.environ:
            os.environ[VARIABLE] = tempfile.mkdtemp(prefix="oaicompat-metrics-")
            stack.callback(_remove, os.environ[VARIABLE], os.getpid())
            stack.callback(os.environ.pop, VARIABLE)
        # the library has chosen when it was imported, without the directory; it has no function to choose again
        values.ValueClass = values.get_value_class()
        stack.callback(setattr, values, "ValueClass", values.MutexValue)
        yield


def _remove(directory: str, owner: int) -> None:
    """Workers leave the context too, when they end: the directory is not theirs."""
    if os.getpid() == owner:
        shutil.rmtree(directory)


def is_shared() -> bool:
    return VARIABLE in os.environ


def forget_worker(pid: int) -> None:
    """It has ended: what it counted stays, what was going on in it is gone."""
    multiprocess.mark_process_dead(pid)


def gather() -> CollectorRegistry:
    """The metrics of all workers, as they are now."""
    registry = CollectorRegistry()
    multiprocess.MultiProcessCollector(registry)
    return registry
