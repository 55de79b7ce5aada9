"""Standard streams, and settings of logging and of Prometheus' client that hold for a whole process.

Only a process of our own calls this: the command, and gunicorn's application factory. `create_app` does not, since its
application may be mounted in somebody else's process.
"""

from __future__ import annotations

import logging
import os

from prometheus_client import disable_created_metrics

from .log_handler import TurnHandler
from .run_log import formatter


def set_up_process(log_level: str, log_format: str) -> None:
    """Logs to stderr, unless the root logger has a handler already. `log_format`: `text` or `json`."""
    _open_standard_streams()
    handler = TurnHandler()
    handler.setFormatter(formatter(log_format))
    logging.basicConfig(level=log_level.upper(), handlers=[handler])
    disable_created_metrics()


def _open_standard_streams() -> None:
    """Opens those of the descriptors 0 to 2 that are closed. Otherwise a socket gets the number, and libuv aborts the
    process when it closes that socket.
    """
    while (opened := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(opened)
