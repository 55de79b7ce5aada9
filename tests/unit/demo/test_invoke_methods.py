"""The methods behind /invoke, at both releases."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from oaicompat_proxy.demo.invoke_methods import METHODS, MethodError, invoke
from oaicompat_proxy.demo.settings import GatewaySettings
from oaicompat_proxy.demo.state import GatewayState

MESSAGE = {"role": "user", "content": [{"type": "text", "text": "hello"}]}


@pytest.fixture
async def state() -> AsyncIterator[GatewayState]:
    state = GatewayState(GatewaySettings(pace=0))
    yield state
    await state.shut_down()


def refused(state: GatewayState, method: Any, **params: Any) -> tuple[int, dict[str, Any]]:
    with pytest.raises(MethodError) as raised:
        invoke(state, method, params)
    return raised.value.status, raised.value.body


@pytest.mark.parametrize("method", [*METHODS, "nothing"])
async def test_the_older_release_knows_none(method: str) -> None:
    old = GatewayState(GatewaySettings(release="0.9.4"))
    assert refused(old, method) == (400, {"error": f"Unknown method: {method}"})


async def test_a_method_is_required(state: GatewayState) -> None:
    assert refused(state, None) == (400, {"error": "method is required"})


async def test_unknown_methods_by_form(state: GatewayState) -> None:
    unknown = {"error": "Unknown method: x", "code": "NOT_FOUND_RESOURCE"}
    assert refused(state, "x") == (404, unknown)
    standalone = GatewayState(GatewaySettings(form="standalone"))
    assert refused(standalone, "x") == (400, {"error": "Unknown method: x"})


async def test_apps(state: GatewayState) -> None:
    apps = invoke(state, "apps", {})["apps"]
    assert [(app["id"], app["isDefault"]) for app in apps] == [
        ("demo", True),
        ("echo", False),
        ("nostream", False),
    ]
    assert all(app["description"] for app in apps)


async def test_sessions_and_status(state: GatewayState) -> None:
    state.send("s", MESSAGE)
    await state.wait_until(lambda state: state.runs.finished == 1)
    (session,) = invoke(state, "sessions", {})["sessions"]
    assert (session["id"], session["appId"], session["messageCount"]) == ("demo:s", "demo", 2)
    assert invoke(state, "status", {"sessionId": "s"})["session"]["isActive"] is False


async def test_history_is_always_empty(state: GatewayState) -> None:
    assert invoke(state, "history", {"sessionId": "s"}) == {"messages": [], "hasMore": False}


@pytest.mark.parametrize("method", ["close", "reset", "abort"])
async def test_no_such_session(state: GatewayState, method: str) -> None:
    assert refused(state, method, sessionId="s")[0] == 404


async def test_close_has_an_empty_answer_and_aborts(state: GatewayState) -> None:
    state.send("s", {**MESSAGE, "content": [{"type": "text", "text": "[[scenario:silent]]"}]})
    assert invoke(state, "abort", {"sessionId": "s"}) is None
    assert state.runs.running == 1
    assert invoke(state, "close", {"sessionId": "s"}) is None
    await state.wait_until(lambda state: state.runs.aborted == 1)


async def test_the_status_of_a_session_that_is_not_there_has_none(state: GatewayState) -> None:
    assert "session" not in invoke(state, "status", {"sessionId": "s"})


async def test_standalone_says_no_code() -> None:
    """Every failure is 400 there, in Agentick 0.14 too."""
    standalone = GatewayState(GatewaySettings(form="standalone", wire="0.14"))
    assert refused(standalone, "abort", sessionId="s") == (400, {"error": "Session not found: s"})


async def test_the_newer_wire_has_all_methods_and_aborts() -> None:
    newer = GatewayState(GatewaySettings(release="0.9.4", wire="0.14", pace=0))
    newer.send("s", {**MESSAGE, "content": [{"type": "text", "text": "[[scenario:silent]]"}]})
    assert invoke(newer, "abort", {"sessionId": "s"}) is None
    await newer.wait_until(lambda state: state.runs.aborted == 1)
    assert invoke(newer, "status", {"sessionId": "s"})["session"]["isActive"] is False
    await newer.shut_down()


async def test_schema_config_and_catalog(state: GatewayState) -> None:
    assert {*invoke(state, "schema", {})["methods"]} == {*METHODS}
    assert invoke(state, "config", {}) == {"config": {}}
    kinds = {tool["name"]: tool["type"] for tool in invoke(state, "tool-catalog", {"sessionId": "s"})["tools"]}
    assert kinds["add"] == "server"
    assert kinds["client_weather"] == "client"
    assert refused(state, "tool-catalog")[0] == 400


@pytest.mark.parametrize("missing", ["sessionId", "callId"])
async def test_a_confirmation_names_session_and_call(state: GatewayState, missing: str) -> None:
    params = {name: "x" for name in ("sessionId", "callId") if name != missing}
    assert refused(state, "tool-confirm", **params)[1]["error"] == f"{missing} is required"


async def test_a_confirmation_nobody_waits_for(state: GatewayState) -> None:
    """The real gateway publishes it, and does not know whether anybody listens."""
    assert invoke(state, "tool-confirm", {"sessionId": "s", "callId": "c", "confirmed": True}) == {"ok": True}
