"""The line that is logged for each run, and how all lines look: for people, or as JSON for machines.

No prompt, no answer, no key and no header: what the line has is listed here.
"""

from __future__ import annotations

import functools
import json
import logging
import random
import time
from typing import Any

import orjson

from .outcomes import CLIENT_GONE, SUCCESS
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
        # as log.log does, which would ask again for the level and look up where it is called from
        log.handle(log.makeRecord(log.name, level, __file__, 0, RunLine(report), (), None, "observe"))


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
        key, model, session, execution, answered_as = self._words()
        error, finish_reason, trace_id = report.error_type, report.finish_reason, report.trace_id
        first_event, first_token = report.first_event, report.first_sent
        return (
            f"run request_id={report.request_id} client={report.client} key={key}"
            f" operation={report.operation} model={model}{session and f' session={session}'}"
            f" stream={report.stream} status={report.status} outcome={report.outcome}"
            f"{error and f' error={error}'}{finish_reason and f' finish_reason={finish_reason}'} ticks={report.ticks}"
            f"{'' if usage is None else f' input_tokens={usage.input_tokens} output_tokens={usage.output_tokens}'}"
            f" chunks={report.chunks} bytes={report.sent_bytes} waited={report.waited:.4f}"
            f"{'' if first_event is None else f' first_event={first_event - report.called:.4f}'}"
            f"{'' if first_token is None else f' first_token={first_token - report.began:.4f}'}"
            f" duration={report.duration:.4f}{execution and f' execution={execution}'}"
            f"{answered_as and f' upstream_request_id={answered_as}'}{trace_id and f' trace_id={trace_id}'}"
        )

    def _words(self) -> tuple[str, str, str, str, str]:
        """What others made up, each as one word. Mostly nothing has to be quoted, and one look at all of it tells."""
        report = self._report
        key, model, session = report.key_name, report.model, report.session
        execution, answered_as = report.execution, report.upstream_request_id
        if len(model) > LONGEST_NAME or len(execution) > LONGEST_NAME or len(answered_as) > LONGEST_NAME:
            model, execution, answered_as = _shorten(model), _shorten(execution), _shorten(answered_as)
        if _is_plain(f"{key}{model}{session}{execution}{answered_as}"):
            return key, model, session, execution, answered_as
        return _word(key), _word(model), _word(session), _word(execution), _word(answered_as)


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
        try:
            return orjson.dumps(line, default=str).decode()
        except TypeError:  # a lone surrogate, which UTF-8 does not have, but JSON can write
            return json.dumps(line, default=str)


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


def _word(text: str) -> str:
    """One word of a line: what could be taken for something else is quoted."""
    return text if _is_plain(text) else ascii(text)


def _is_plain(text: str) -> bool:
    return text.isascii() and text.isprintable() and " " not in text and "'" not in text and '"' not in text
