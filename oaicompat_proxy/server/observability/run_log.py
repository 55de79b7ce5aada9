"""The log line of each run, and the two formats of all log lines: text, and JSON.

A line has only the fields listed here: no prompt, no answer, no key and no header.
"""

from __future__ import annotations

import functools
import json
import logging
import random
import re
import time
from datetime import UTC, datetime
from typing import Any

import orjson

from .outcomes import CLIENT_GONE, SUCCESS
from .run_report import RunSummary

log = logging.getLogger("oaicompat_proxy.runs")

MAX_NAME = 128
"""Characters of a name that a client may have made up."""

MAX_SHARED = 256
"""Texts of fields with the same values in many runs that are cached."""

EXPECTED = {SUCCESS, "refused", CLIENT_GONE}
"""Outcomes that are logged at level INFO."""

_is_plain = re.compile(r"[!#-&(-~]*").fullmatch
"""Whether text is printable ASCII without spaces and quotes."""


class RunLog:
    """Logs a share of the successful runs, and all others; a failure that is not the client's is a warning."""

    def __init__(self, share: float) -> None:
        """`share`: between 0 and 1."""
        self._share = share
        # state
        self._shared: dict[int, dict[str, Any]] = {}
        """The fields of the first record of each level."""

    def observe(self, run: RunSummary) -> None:
        level = logging.INFO if run.outcome in EXPECTED and not run.reason else logging.WARNING
        if run.outcome == SUCCESS and self._share < 1 and random.random() >= self._share:
            return
        if log.isEnabledFor(level):
            log.handle(self._record(level, RunLine(run)))

    def _record(self, level: int, line: RunLine) -> logging.LogRecord:
        """A record whose process, thread and source line are copied from the first record. Having `logging` look them
        up for each run takes 1 % of a request; `log.log` would also walk the stack.
        """
        shared = self._shared.get(level)
        if shared is None or logging.getLogRecordFactory() is not logging.LogRecord:
            record = log.makeRecord(log.name, level, __name__, 0, line, (), None)
            self._shared[level] = {**vars(record), "taskName": None}
            return record
        fields, now = shared.copy(), time.time()
        elapsed = (now - shared["created"]) * 1000
        fields["msg"], fields["created"], fields["msecs"] = line, now, now % 1 * 1000
        fields["relativeCreated"] = shared["relativeCreated"] + elapsed
        record = logging.LogRecord.__new__(logging.LogRecord)
        record.__dict__ = fields
        return record


class RunLine:
    """The message of a run's line: as text `run NAME=VALUE …`, as JSON one field each."""

    def __init__(self, run: RunSummary) -> None:
        self._run = run

    def fields(self) -> dict[str, Any]:
        """The fields by name, without unknown ones. Times are in seconds."""
        run = self._run
        fields = {
            "request_id": run.request_id,
            "client": run.client,
            "key": run.key_name,
            "user": _shorten(run.user),
            "api": run.api,
            "operation": run.operation,
            "side_request": run.side_request,
            "model": _shorten(run.model),
            "session": run.session,
            "stream": run.stream,
            "status": run.status,
            "outcome": run.outcome,
            "error": run.error_type,
            "reason": _shorten(run.reason),
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
        """The same fields as text. Each value is one word.

        Formatted directly, with cached texts of repeated values: a loop over `fields()` takes three times the
        instructions.
        """
        run, usage, upstream_id = self._run, self._run.usage, self._run.upstream_request_id
        return (
            f"run request_id={run.request_id} client={run.client}"
            f"{_asked(run.key_name, run.user, run.api, run.operation, run.model)}"
            f"{run.side_request and f' side_request={run.side_request}'}{_name('session', run.session)}"
            f"{_answered(run.stream, run.status, run.outcome, run.error_type, run.finish_reason)}"
            f"{run.reason and _name('reason', _shorten(run.reason))} ticks={run.ticks}"
            f"{'' if usage is None else f' input_tokens={usage.input_tokens} output_tokens={usage.output_tokens}'}"
            f" chunks={run.chunks} bytes={run.sent_bytes} waited={run.waited:.4f}"
            f"{'' if run.first_event is None else f' first_event={run.first_event:.4f}'}"
            f"{'' if run.first_token is None else f' first_token={run.first_token:.4f}'}"
            f" duration={run.duration:.4f}{_name('execution', _shorten(run.execution))}"
            f"{upstream_id and _name('upstream_request_id', _shorten(upstream_id))}"
            f"{run.trace_id and f' trace_id={run.trace_id}'}"
        )


@functools.lru_cache(MAX_SHARED)
def _asked(key_name: str, user: str, api: str, operation: str, model: str) -> str:
    caller = f"{_name('key', key_name)}{_name('user', _shorten(user))}"
    return f"{caller}{_field('api', api)} operation={operation}{_name('model', _shorten(model))}"


@functools.lru_cache(MAX_SHARED)
def _answered(stream: bool, status: int, outcome: str, error: str, finish_reason: str) -> str:
    ending = f"{_field('outcome', outcome)}{_field('error', error)}{_field('finish_reason', finish_reason)}"
    return f" stream={stream} status={status}{ending}"


class TextFormatter(logging.Formatter):
    """Each record as `TIME LEVEL LOGGER: MESSAGE`, and below it the traceback of an exception.

    It takes 1.9 µs less than the library's, which formats the time and looks for the format's fields each time.
    """

    def format(self, record: logging.LogRecord) -> str:
        moment, milliseconds = _local_time(int(record.created)), str(int(record.msecs)).zfill(3)
        line = f"{moment},{milliseconds} {record.levelname} {record.name}: {record.getMessage()}"
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


@functools.lru_cache(1)
def _local_time(second: int) -> str:
    return time.strftime(logging.Formatter.default_time_format, time.localtime(second))


class JsonFormatter(logging.Formatter):
    """Each record as one JSON object in one line."""

    def format(self, record: logging.LogRecord) -> str:
        moment = datetime.fromtimestamp(record.created, UTC)
        line: dict[str, Any] = {
            "time": f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03d}Z",
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
    return JsonFormatter() if kind == "json" else TextFormatter()


def _rounded(value: Any) -> Any:
    return round(value, 6) if isinstance(value, float) else value


def _field(name: str, value: str) -> str:
    return f" {name}={value}" if value else ""


def _name(name: str, value: str) -> str:
    """A field whose text clients, agents or operators choose: quoted if it could be taken for something else."""
    if not value:
        return ""
    return f" {name}={value}" if _is_plain(value) else f" {name}={value!a}"


def _shorten(name: str) -> str:
    return name if len(name) <= MAX_NAME else name[:MAX_NAME] + "…"
