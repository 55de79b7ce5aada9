"""The demo gateway in tests, and the HTTP transports that it has."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, cast

import pytest

from oaicompat_proxy.demo.state import GatewayState
from tests.support.proxy import Proxy


@dataclass
class Demo:
    """The demo gateway with its internal state, and a proxy in front of it."""

    url: str
    gateway_state: GatewayState
    proxy: Proxy


Wire = Literal["0.9", "0.14"]


WIRES: tuple[Wire, ...] = ("0.9", "0.14")
"""The HTTP transports of Agentick that the demo gateway speaks."""


def wire_of(request: pytest.FixtureRequest) -> Wire:
    """The value of the test's fixture `wire`; without that fixture the older one."""
    return cast(Wire, request.getfixturevalue("wire")) if "wire" in request.fixturenames else "0.9"
