"""The demo gateway as tests see it, and the wires that it speaks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, cast

import pytest

from oaicompat_proxy.demo.state import GatewayState
from tests.support.proxy import Proxy


@dataclass
class Demo:
    """The demo gateway, seen from inside, and a proxy in front of it."""

    url: str
    gateway_state: GatewayState
    proxy: Proxy


Wire = Literal["0.9", "0.14"]


WIRES: tuple[Wire, ...] = ("0.9", "0.14")
"""The HTTP transports of Agentick that the demo gateway speaks."""


def wire_of(request: pytest.FixtureRequest) -> Wire:
    """That of the test, or the older one if it does not ask for `wire`."""
    return cast(Wire, request.getfixturevalue("wire")) if "wire" in request.fixturenames else "0.9"
