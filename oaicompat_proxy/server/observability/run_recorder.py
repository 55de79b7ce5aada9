"""The interface of recorders of a run: the recording of `--record`, and the inspector."""

from __future__ import annotations

from typing import Any, Protocol

from ...core.answer_options import AnswerOptions


class ReadLog(Protocol):
    """Lists to which a connection itself appends its reads, so that a read costs no call of a Python function."""

    reads: list[bytes]
    """The bytes of each read."""
    moments: list[Any]
    """The time of each read, among the entries of other kinds. It is the event loop's time, which is that of
    `time.perf_counter()` on Linux and macOS."""

    def gateway_bytes(self, data: bytes) -> None:
        """Adds one read."""

    def count(self, size: int) -> int:
        """Counts the bytes that were appended. Returns after how many more bytes it must be called again."""


class RunRecorder:
    """Records one run. A subclass overrides the methods that it needs."""

    def request(self, body: bytes) -> None:
        """The request's body, as the client sent it."""

    def wait_for(self, what: str) -> None:
        """The request waits for its `session`, or for a free `run`."""

    def begin(self, options: AnswerOptions) -> None:
        """A run begins."""

    def turn(self, path: str, body: bytes) -> None:
        """The request to the agent."""

    def begin_next_run(self) -> None:
        """The agent's stream has ended, and the run continues in another stream."""

    def gateway_bytes(self, data: bytes) -> None:
        """One read of the agent's stream."""

    @property
    def read_log(self) -> ReadLog | None:
        """For reads that are not passed to `gateway_bytes`; None if all must be."""
        return None

    def client_bytes(self, data: bytes) -> None:
        """One write of a streamed answer."""

    def ping(self, data: bytes) -> None:
        """A keep-alive to the client; empty before other bytes that no read of the agent's stream has caused."""

    def client_slow(self, slow: bool) -> None:
        """The client begins or ends to read more slowly than the agent writes."""

    def fail(self, error: Exception) -> None:
        """Why the answer failed."""

    def body(self, status: int, data: bytes) -> None:
        """An answer that is sent as one JSON body."""

    def end(self, word: str) -> None:
        """The request is over."""
