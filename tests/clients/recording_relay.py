"""A relay between an application and the proxy, which notes each request as it was sent."""

from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple
from urllib.parse import urlsplit

OF_ONE_CONNECTION = ("host", "connection", "transfer-encoding", "content-length", "keep-alive")
"""Headers that are not passed on. Source: RFC 9110, section 7.6.1."""


class Sent(NamedTuple):
    path: str
    headers: Mapping[str, str]
    """By lower-case names."""
    body: Any
    """Parsed JSON; None for a GET."""

    @property
    def prompt(self) -> str:
        """The last message of a request for an answer."""
        content = self.body["messages"][-1]["content"]
        return content if isinstance(content, str) else "".join(part.get("text", "") for part in content)


class Relay(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.base = f"http://127.0.0.1:{self.server_address[1]}"
        # state
        self.upstream = ""
        self.sent: list[Sent] = []

    def pass_on_to(self, base: str) -> None:
        """From now on; what was noted before is forgotten."""
        self.upstream, self.sent = urlsplit(base).netloc, []

    @property
    def questions(self) -> list[Sent]:
        """Requests for answers, in their order."""
        return [each for each in self.sent if each.body is not None]


class _Handler(BaseHTTPRequestHandler):
    server: Relay

    def do_GET(self) -> None:
        self._pass_on(b"")

    def do_POST(self) -> None:
        self._pass_on(self.rfile.read(int(self.headers["Content-Length"])))

    def _pass_on(self, body: bytes) -> None:
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.server.sent.append(Sent(self.path, headers, json.loads(body) if body else None))
        kept = {name: value for name, value in headers.items() if name not in OF_ONE_CONNECTION}
        connection = http.client.HTTPConnection(self.server.upstream)
        try:
            connection.request(self.command, self.path, body or None, kept)
            self._answer(connection.getresponse())
        except OSError:  # one of the two is gone
            self.close_connection = True
        finally:
            connection.close()

    def _answer(self, answer: http.client.HTTPResponse) -> None:
        """In HTTP/1.0: it ends with its connection."""
        self.send_response(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in OF_ONE_CONNECTION:
                self.send_header(name, value)
        self.end_headers()
        while piece := answer.read1(65536):
            self.wfile.write(piece)

    def log_message(self, format: str, *words: Any) -> None:
        """Nothing: what was sent is in `sent`."""


@contextmanager
def relaying() -> Iterator[Relay]:
    with Relay() as relay:
        threading.Thread(target=relay.serve_forever, daemon=True).start()
        try:
            yield relay
        finally:
            relay.shutdown()
