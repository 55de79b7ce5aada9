"""The log line of each run, and the two formats of all log lines: text, and JSON.

A line has only the fields listed here: no prompt, no answer, no key and no header.
"""

from __future__ import annotations

import json
import logging
import random
import re
from datetime import UTC, datetime
from typing import Any

import orjson

from .outcomes import CLIENT_GONE, SUCCESS
from .run_report import RunSummary

log = logging.getLogger("oaicompat_proxy.runs")

MAX_NAME = 128
"""Characters of a name that a client may have made up."""

TEXT_FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"

UNTRUSTED = {"key", "model", "session", "execution", "upstream_request_id"}
"""Fields whose text clients, agents or operators choose."""

EXPECTED = {SUCCESS, "refused", CLIENT_GONE}
"""Outcomes that an operator need not look at."""

_is_plain = re.compile(r"[!#-&(-~]*").fullmatch
"""Whether text is printable ASCII without spaces and quotes."""


class RunLog:
    """Logs a share of the successful runs, and all others."""

    def __init__(self, share: float) -> None:
        """`share`: between 0 and 1."""
        self._share = share

    def observe(self, run: RunSummary) -> None:
        level = logging.INFO if run.outcome in EXPECTED else logging.WARNING
        if run.outcome == SUCCESS and self._share < 1 and random.random() >= self._share:
            return
        log.log(level, RunLine(run))


class RunLine:
    """The message of a run's line: as text `run NAME=VALUE …`, as JSON one field each."""

    def __init__(self, run: RunSummary) -> None:
        self._run = run

    def fields(self) -> dict[str, Any]:
        """Unknown ones are left out. Times are in seconds."""
        run = self._run
        fields = {
            "request_id": run.request_id,
            "client": run.client,
            "key": run.key_name,
            "api": run.api,
            "operation": run.operation,
            "model": _shorten(run.model),
            "session": run.session,
            "stream": run.stream,
            "status": run.status,
            "outcome": run.outcome,
            "error": run.error_type,
            "finish_reason": run.finish_reason,
            "ticks": run.ticks,
            "input_tokens": run.usage and run.usage.input_tokens,
            "output_tokens": run.usage and run.usage.output_tokens,
            "chunks": run.chunks,
            "bytes": run.sent_bytes,
            "waited": run.waited,
            "first_event": run.first_event,
            "first_token": run.first_token,
            "duration": run.duration,
            "execution": _shorten(run.execution),
            "upstream_request_id": _shorten(run.upstream_request_id),
            "trace_id": run.trace_id,
        }
        return {name: value for name, value in fields.items() if value is not None and value != ""}

    def __str__(self) -> str:
        """Each value is one word: untrusted text that could be taken for something else is quoted."""
        words = ["run"]
        for name, value in self.fields().items():
            if type(value) is float:
                words.append(f"{name}={value:.4f}")
            elif name in UNTRUSTED and not _is_plain(value):
                words.append(f"{name}={value!a}")
            else:
                words.append(f"{name}={value}")
        return " ".join(words)


class JsonFormatter(logging.Formatter):
    """Each record as one JSON object in one line."""

    def format(self, record: logging.LogRecord) -> str:
        time = datetime.fromtimestamp(record.created, UTC)
        line: dict[str, Any] = {
            "time": f"{time:%Y-%m-%dT%H:%M:%S}.{time.microsecond // 1000:03d}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
        }
        if isinstance(record.msg, RunLine):
            line["message"] = "run"
            line.update({name: _rounded(value) for name, value in record.msg.fields().items()})
        else:
            line["message"] = record.getMessage()
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        try:
            return orjson.dumps(line, default=str).decode()
        except TypeError:  # a lone surrogate, which UTF-8 does not have, but JSON can write
            return json.dumps(line, default=str)


def formatter(kind: str) -> logging.Formatter:
    """`kind`: `text` or `json`."""
    return JsonFormatter() if kind == "json" else logging.Formatter(TEXT_FORMAT)


def _rounded(value: Any) -> Any:
    return round(value, 6) if isinstance(value, float) else value


def _shorten(name: str) -> str:
    return name if len(name) <= MAX_NAME else name[:MAX_NAME] + "…"
