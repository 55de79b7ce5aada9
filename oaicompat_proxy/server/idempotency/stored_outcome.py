"""The outcome of a run as bytes, from which another process answers a retry as this process would."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import orjson

from ...core.errors import IdempotentAnswerGone, ProxyError
from .shared_answer import SharedAnswer

MAX_EVENTS = 512 * 1024
"""Bytes of a stream's events that are stored in a file: as many as of an answer."""

_TOO_LONG = (
    "The run of this request was begun, and its answer is too long to be kept for a retry; the agent is not run twice."
)


def encode_outcome(shared: SharedAnswer, failure: ProxyError | None, *, max_size: int) -> bytes:
    """Encodes the outcome of a run that has ended.

    `failure`: why there is no answer. `max_size`: bytes above which an answer is not stored.
    """
    if failure is not None:
        return encode_failure(failure)
    buffer = shared.buffer
    if not buffer.is_replayable or buffer.size > max_size:
        return encode_failure(IdempotentAnswerGone(_TOO_LONG))
    return b'{"streamed":%b}\n' % (b"true" if shared.streamed else b"false") + buffer.content()


def encode_events(shared: SharedAnswer) -> bytes | None:
    """The events of a complete stream of this process, encoded as an outcome; None if they cannot be stored."""
    buffer = shared.buffer
    if not shared.streamed or shared.is_copy or not (buffer.complete and buffer.is_replayable):
        return None
    return encode_outcome(shared, None, max_size=MAX_EVENTS) if buffer.size <= MAX_EVENTS else None


def restore_outcome(outcome: bytes, shared: SharedAnswer) -> None:
    """Writes the outcome's answer to `shared`. Raises the failure of a run without an answer."""
    head, _, content = outcome.partition(b"\n")
    members = orjson.loads(head)
    if "error" in members:
        failure = restore_failure(members["error"])
        failure.should_retry = False  # only such failures are stored
        raise failure
    shared.begin(streamed=members["streamed"])
    shared.write(content)
    shared.end()


def encode_failure(error: ProxyError) -> bytes:
    kind = type(error).__name__
    return orjson.dumps(
        {
            "error": {
                "kind": kind,
                "message": error.message,
                "param": error.param,
                "code": error.code,
                "retry_after": error.retry_after,
                "should_retry": error.should_retry,
            }
        }
    )


def restore_failure(members: dict[str, Any]) -> ProxyError:
    """An error of the same class, which decides status and type; a ProxyError if this release lacks the class."""
    kind = next((each for each in _kinds(ProxyError) if each.__name__ == members["kind"]), ProxyError)
    error = kind.__new__(kind)
    ProxyError.__init__(error, members["message"], param=members["param"], code=members["code"])
    error.should_retry = members["should_retry"]
    error.retry_after = members["retry_after"]
    return error


def _kinds(root: type[ProxyError]) -> Iterator[type[ProxyError]]:
    yield root
    for kind in root.__subclasses__():
        yield from _kinds(kind)
