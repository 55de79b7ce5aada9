"""Settings of logging and of Prometheus' client that hold for a whole process.

Only a process of our own calls this: the command, and gunicorn's application factory. `create_app` does not, since its
application may be mounted in somebody else's process.
"""

from __future__ import annotations

import logging

from prometheus_client import disable_created_metrics

from .log_handler import TurnHandler
from .run_log import formatter


def set_up_process(log_level: str, log_format: str) -> None:
    """Logs to stderr, unless the root logger has a handler already. `log_format`: `text` or `json`."""
    handler = TurnHandler()
    handler.setFormatter(formatter(log_format))
    logging.basicConfig(level=log_level.upper(), handlers=[handler])
    disable_created_metrics()
