"""The order to the load client, and its summary after the load."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from ..gateway.frames import Run

PERMILLES = (500, 990, 1000)


@dataclass(frozen=True, slots=True)
class Order:
    """One load on one target."""

    ports: tuple[int, ...]
    """The target's ports, which connections use in turn."""
    path: str
    kind: str
    """How the answer is checked: `native`, `chunks`, `whole`, `responses` or `messages`."""
    run: Run
    connections: int
    mode: str
    """`repeat`: each connection asks again and again. `count`: the same, for just `most` requests. `steady`: each asks
    once, a window in the middle is measured. `hold`: each asks once, and the answer never ends."""
    seconds: float
    """Seconds that are measured."""
    warm: float
    """Seconds before that."""
    most: int
    """Requests at most."""
    model: str = "bench"
    headers: tuple[str, ...] = ()
    """Additional header lines."""

    def request(self, number: int) -> bytes:
        """A whole HTTP request, different for each number."""
        data = json.dumps(self._body(number), separators=(",", ":")).encode()
        head = [
            f"POST {self.path} HTTP/1.1",
            f"Host: 127.0.0.1:{self.ports[0]}",
            "Content-Type: application/json",
            *self.headers,
            f"Content-Length: {len(data)}",
        ]
        return "\r\n".join([*head, "", ""]).encode() + data

    def _body(self, number: int) -> dict[str, Any]:
        prompt = self.run.prompt()
        if self.kind == "native":
            message = {"role": "user", "content": [{"type": "text", "text": prompt}]}
            return {"sessionId": f"oc-{number:032d}", "message": message, "messages": [message]}
        if self.kind == "responses":
            return {"model": self.model, "stream": True, "input": prompt}
        messages = [{"role": "user", "content": prompt}]
        if self.kind == "messages":
            return {"model": self.model, "max_tokens": 1000, "stream": True, "messages": messages}
        return {"model": self.model, "stream": self.kind == "chunks", "messages": messages}


def parse_order(text: bytes) -> Order:
    fields = json.loads(text)
    return Order(
        **{
            **fields,
            "run": Run(**fields["run"]),
            "ports": tuple(fields["ports"]),
            "headers": tuple(fields["headers"]),
        }
    )


@dataclass(slots=True)
class Summary:
    """Times are seconds, each as quantiles: median, 99 %, the most; empty where they do not apply."""

    requests: int = 0
    deltas: int = 0
    """The deltas that arrived: in complete answers, or in the window."""
    broken: list[str] = field(default_factory=list)
    """The reason for each incomplete answer."""
    first_byte: list[float] = field(default_factory=list)
    duration: list[float] = field(default_factory=list)
    relay: list[float] = field(default_factory=list)
    """The times from the sending to the arrival of stamped deltas."""


def quantiles(values: Sequence[float]) -> list[float]:
    """Median, 99 % quantile and maximum; empty for no values."""
    ordered = sorted(values)
    last = len(ordered) - 1
    return [ordered[min(last, permille * len(ordered) // 1000)] for permille in PERMILLES if ordered]
