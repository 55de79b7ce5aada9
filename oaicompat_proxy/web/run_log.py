"""The line that is logged for each run, and how all lines look: for people, or as JSON for machines.

No prompt, no answer, no key and no header: what the line has is listed here.
"""

from __future__ import annotations

import logging
import random
import re
import time
from typing import Any

import orjson

from ..outcomes import CLIENT_GONE, SUCCESS
from .run_report import RunReport

log = logging.getLogger("oaicompat_proxy.runs")

LONGEST_NAME = 128
"""Characters of a name that a client may have made up."""

_PLAIN = re.compile(r"[!-~]+")

MADE_UP = {"key", "model", "session", "execution", "upstream_request_id"}
"""Fields whose text is not ours: a session's name begins with its app's."""

TEXT_FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"

NOBODYS_FAULT = {SUCCESS, "refused", CLIENT_GONE}
"""Outcomes that an operator need not look at."""


class RunLog:
    """Logs runs: of the successful ones a share, of the others all."""

    def __init__(self, share: float) -> None:
        """`share`: between 0 and 1."""
        self._share = share

    def observe(self, report: RunReport) -> None:
        level = logging.INFO if report.outcome in NOBODYS_FAULT else logging.WARNING
        if not log.isEnabledFor(level):
            return
        if report.outcome == SUCCESS and self._share < 1 and random.random() >= self._share:
            return
        log.log(level, RunLine(report))


class RunLine:
    """What is logged of a run: as text `NAME=VALUE …`, or as fields."""

    def __init__(self, report: RunReport) -> None:
        self._report = report

    def fields(self) -> dict[str, Any]:
        """What is not known is left out. Times in seconds."""
        report = self._report
        usage = report.usage
        fields = {
            "request_id": report.request_id,
            "client": report.client,
            "key": report.key_name,
            "operation": report.operation,
            "model": _shorten(report.model),
            "session": report.session,
            "stream": report.stream,
            "status": report.status,
            "outcome": report.outcome,
            "error": report.error_type,
            "finish_reason": report.finish_reason,
            "ticks": report.ticks,
            "input_tokens": usage and usage.input_tokens,
            "output_tokens": usage and usage.output_tokens,
            "chunks": report.chunks,
            "bytes": report.sent_bytes,
            "waited": _round(report.waited),
            "first_event": _since(report.called, report.first_event),
            "first_token": _since(report.began, report.first_sent),
            "duration": _round(report.duration),
            "execution": _shorten(report.execution),
            "upstream_request_id": _shorten(report.upstream_request_id),
            "trace_id": report.trace_id,
        }
        return {name: value for name, value in fields.items() if value is not None and value != ""}

    def __str__(self) -> str:
        return "run " + " ".join([f"{name}={_word(name, value)}" for name, value in self.fields().items()])


class JsonLines(logging.Formatter):
    """Each record as one JSON object in one line."""

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(record.created))}.{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
        }
        if isinstance(record.msg, RunLine):
            line |= {"message": "run", **record.msg.fields()}
        else:
            line["message"] = record.getMessage()
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return orjson.dumps(line, default=str).decode()


def formatter(kind: str) -> logging.Formatter:
    """`kind`: `text` or `json`."""
    return JsonLines() if kind == "json" else logging.Formatter(TEXT_FORMAT)


def _round(seconds: float) -> float:
    return round(seconds, 6)


def _since(start: float, moment: float | None) -> float | None:
    return None if moment is None else _round(moment - start)


def _shorten(name: str) -> str:
    return name if len(name) <= LONGEST_NAME else name[:LONGEST_NAME] + "…"


def _word(name: str, value: Any) -> str:
    """One word of a line: what others made up, and could be taken for something else, is quoted."""
    if type(value) is float:
        return f"{value:.4f}"
    return ascii(value) if name in MADE_UP and not _PLAIN.fullmatch(value) else str(value)
