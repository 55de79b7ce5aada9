"""The line that is logged for each run, and how all lines look: for people, or as JSON for machines.

No prompt, no answer, no key and no header: what the line has is listed here.
"""

from __future__ import annotations

import functools
import logging
import random
import time
from typing import Any

import orjson

from ..outcomes import CLIENT_GONE, SUCCESS
from .run_report import RunReport

log = logging.getLogger("oaicompat_proxy.runs")

LONGEST_NAME = 128
"""Characters of a name that a client may have made up."""

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
        """Those of `fields`, in their order, but made at once: it is most of what a run's line costs."""
        report = self._report
        usage = report.usage
        tokens = "" if usage is None else f" input_tokens={usage.input_tokens} output_tokens={usage.output_tokens}"
        return (
            f"run request_id={report.request_id} client={report.client} key={_word(report.key_name)}"
            f" operation={report.operation} model={_word(_shorten(report.model))}{_named('session', report.session)}"
            f" stream={report.stream} status={report.status} outcome={report.outcome}"
            f"{_named('error', report.error_type)}{_named('finish_reason', report.finish_reason)}"
            f" ticks={report.ticks}{tokens} chunks={report.chunks} bytes={report.sent_bytes}"
            f" waited={report.waited:.4f}{_timed('first_event', report.called, report.first_event)}"
            f"{_timed('first_token', report.began, report.first_sent)} duration={report.duration:.4f}"
            f"{_named('execution', _shorten(report.execution))}"
            f"{_named('upstream_request_id', _shorten(report.upstream_request_id))}"
            f"{_named('trace_id', report.trace_id)}"
        )


class TextLines(logging.Formatter):
    """As Python writes them, but a second is put into words once, and a run's line without a look at the format."""

    def __init__(self) -> None:
        super().__init__(TEXT_FORMAT)

    def format(self, record: logging.LogRecord) -> str:
        if not isinstance(record.msg, RunLine):
            return super().format(record)
        return f"{self.formatTime(record)} {record.levelname} {record.name}: {record.msg}"

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:
        return f"{_local(int(record.created))},{int(record.msecs):03d}"


class JsonLines(logging.Formatter):
    """Each record as one JSON object in one line."""

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": f"{_utc(int(record.created))}.{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
        }
        if isinstance(record.msg, RunLine):
            line["message"] = "run"
            line.update(record.msg.fields())
        else:
            line["message"] = record.getMessage()
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return orjson.dumps(line, default=str).decode()


def formatter(kind: str) -> logging.Formatter:
    """`kind`: `text` or `json`."""
    return JsonLines() if kind == "json" else TextLines()


@functools.lru_cache(1)
def _local(second: int) -> str:
    """As Python's logging writes it, without the milliseconds."""
    return time.strftime(logging.Formatter.default_time_format, time.localtime(second))


@functools.lru_cache(1)
def _utc(second: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))


def _round(seconds: float) -> float:
    return round(seconds, 6)


def _since(start: float, moment: float | None) -> float | None:
    return None if moment is None else _round(moment - start)


def _shorten(name: str) -> str:
    return name if len(name) <= LONGEST_NAME else name[:LONGEST_NAME] + "…"


def _named(name: str, value: str) -> str:
    """Nothing, if it is not known."""
    return value and f" {name}={_word(value)}"


def _timed(name: str, start: float, moment: float | None) -> str:
    return "" if moment is None else f" {name}={moment - start:.4f}"


def _word(text: str) -> str:
    """One word of a line: what others made up, and could be taken for something else, is quoted."""
    is_plain = text.isascii() and text.isprintable() and " " not in text
    return text if is_plain and "'" not in text and '"' not in text else ascii(text)
