"""Two recorders of one run: the inspector beside the recording that `--record` writes."""

from __future__ import annotations

from ...core.answer_options import AnswerOptions
from ..observability.run_recorder import RunRecorder


class RecorderPair(RunRecorder):
    """Passes each call to both recorders, except `end`: the owner of each recorder ends it."""

    def __init__(self, first: RunRecorder, second: RunRecorder) -> None:
        self._both = (first, second)

    def request(self, body: bytes) -> None:
        for each in self._both:
            each.request(body)

    def wait_for(self, what: str) -> None:
        for each in self._both:
            each.wait_for(what)

    def begin(self, options: AnswerOptions) -> None:
        for each in self._both:
            each.begin(options)

    def turn(self, path: str, body: bytes) -> None:
        for each in self._both:
            each.turn(path, body)

    def begin_next_run(self) -> None:
        for each in self._both:
            each.begin_next_run()

    def gateway_bytes(self, data: bytes) -> None:
        for each in self._both:
            each.gateway_bytes(data)

    def client_bytes(self, data: bytes) -> None:
        for each in self._both:
            each.client_bytes(data)

    def ping(self, data: bytes) -> None:
        for each in self._both:
            each.ping(data)

    def client_slow(self, slow: bool) -> None:
        for each in self._both:
            each.client_slow(slow)

    def fail(self, error: Exception) -> None:
        for each in self._both:
            each.fail(error)

    def body(self, status: int, data: bytes) -> None:
        for each in self._both:
            each.body(status, data)
