"""Whatever a run says, a client is told the same of it by every kind of gateway: Agentick 0.9 and 0.14, each
standalone and in another server.
"""

from __future__ import annotations

from typing import Any

import pytest

from oaicompat_proxy.demo.scenarios import SCENARIOS
from oaicompat_proxy.demo.settings import GatewaySettings
from tests.support.conformance import check_body, check_error_body, check_stream
from tests.support.proxy import Received
from tests.support.proxy_harness import StartFront, function

pytestmark = pytest.mark.slow

pytest_plugins = ["tests.support.proxy_fixtures"]

GATEWAYS = [
    GatewaySettings(pace=0, form="standalone", close_works=True),
    GatewaySettings(pace=0, form="embedded"),
    GatewaySettings(pace=0, form="standalone", close_works=True, wire="0.14"),
    GatewaySettings(pace=0, form="embedded", wire="0.14"),
]
ENDLESS = {"silent", "confirm"}
"""Runs that only their client ends."""
DECLARED: dict[str, list[dict[str, Any]]] = {
    "nothing declared": [],
    "the client's tool declared": [function("client_weather", city="string")],
    "another declared": [function("moon", phase="string")],
}


def result_of(received: Received, *, stream: bool) -> dict[str, Any]:
    """What counts of an answer, without what chance gives."""
    if received.status != 200:
        error = check_error_body(received.body)
        return {"status": received.status, "code": error["code"], "message": error["message"]}
    answer = check_stream(received.body, include_usage=True) if stream else check_body(received.body)
    calls = [(name, arguments) for _, name, arguments in answer.tool_calls]
    error = answer.error and {"code": answer.error["code"], "message": answer.error["message"]}
    return {
        "text": answer.text,
        "reasoning": answer.reasoning,
        "calls": calls,
        "finish": answer.finish_reason,
        "usage": answer.usage and answer.usage["completion_tokens"],
        "error": error,
    }


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("declared", DECLARED)
@pytest.mark.parametrize("model", ["demo", "nostream"])
async def test_every_gateway_is_reported_alike(front: StartFront, model: str, declared: str, stream: bool) -> None:
    more: dict[str, Any] = {"tools": DECLARED[declared]} if DECLARED[declared] else {}
    more |= {"stream_options": {"include_usage": True}} if stream else {}
    first, *others = [await front(gateway) for gateway in GATEWAYS]
    for name in sorted(SCENARIOS.keys() - ENDLESS):
        prompt = f"[[scenario:{name}]]"
        expected = result_of(await first.post(prompt, model=model, stream=stream, **more), stream=stream)
        for other in others:
            assert result_of(await other.post(prompt, model=model, stream=stream, **more), stream=stream) == expected, (
                name
            )
