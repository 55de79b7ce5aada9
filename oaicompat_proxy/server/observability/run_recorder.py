"""The interface of recorders of a run: the recording of `--record`, and the inspector."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from ...core.answer_options import AnswerOptions
from ...core.events import Event

Feed = Callable[[bytes], Iterable[Event]]
"""Takes one read of an agent's stream, and returns its events."""


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

    def tap(self, feed: Feed) -> Feed:
        """`feed`, whose bytes are recorded first."""

        def feed_recorded(data: bytes) -> Iterable[Event]:
            self.gateway_bytes(data)
            return feed(data)

        return feed_recorded

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
