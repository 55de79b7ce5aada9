"""The methods behind /invoke, at both releases."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from oaicompat_proxy.demo.invoke_methods import METHODS, MethodError, invoke
from oaicompat_proxy.demo.settings import GatewaySettings
from oaicompat_proxy.demo.state import House

MESSAGE = {"role": "user", "content": [{"type": "text", "text": "hello"}]}


@pytest.fixture
async def house() -> AsyncIterator[House]:
    house = House(GatewaySettings(pace=0))
    yield house
    await house.shut()


def refused(house: House, method: Any, **params: Any) -> tuple[int, dict[str, Any]]:
    with pytest.raises(MethodError) as raised:
        invoke(house, method, params)
    return raised.value.status, raised.value.body


@pytest.mark.parametrize("method", [*METHODS, "nothing"])
async def test_the_older_release_knows_none(method: str) -> None:
    old = House(GatewaySettings(release="0.9.4"))
    assert refused(old, method) == (400, {"error": f"Unknown method: {method}"})


async def test_a_method_is_required(house: House) -> None:
    assert refused(house, None) == (400, {"error": "method is required"})


async def test_unknown_methods_by_form(house: House) -> None:
    unknown = {"error": "Unknown method: x", "code": "NOT_FOUND_RESOURCE"}
    assert refused(house, "x") == (404, unknown)
    standalone = House(GatewaySettings(form="standalone"))
    assert refused(standalone, "x") == (400, {"error": "Unknown method: x"})


async def test_apps(house: House) -> None:
    apps = invoke(house, "apps", {})["apps"]
    assert [(app["id"], app["isDefault"]) for app in apps] == [
        ("demo", True),
        ("echo", False),
        ("nostream", False),
    ]
    assert all(app["description"] for app in apps)


async def test_sessions_and_status(house: House) -> None:
    house.send("s", MESSAGE)
    await house.until(lambda house: house.runs.finished == 1)
    (session,) = invoke(house, "sessions", {})["sessions"]
    assert (session["id"], session["appId"], session["messageCount"]) == ("demo:s", "demo", 2)
    assert invoke(house, "status", {"sessionId": "s"})["session"]["isActive"] is False


async def test_history_is_always_empty(house: House) -> None:
    assert invoke(house, "history", {"sessionId": "s"}) == {"messages": [], "hasMore": False}


@pytest.mark.parametrize("method", ["close", "reset", "abort"])
async def test_no_such_session(house: House, method: str) -> None:
    assert refused(house, method, sessionId="s")[0] == 404


async def test_close_has_an_empty_answer_and_aborts(house: House) -> None:
    house.send("s", {**MESSAGE, "content": [{"type": "text", "text": "[[scenario:silent]]"}]})
    assert invoke(house, "abort", {"sessionId": "s"}) is None
    assert house.runs.running == 1
    assert invoke(house, "close", {"sessionId": "s"}) is None
    await house.until(lambda house: house.runs.aborted == 1)


async def test_the_status_of_a_session_that_is_not_there_has_none(house: House) -> None:
    assert "session" not in invoke(house, "status", {"sessionId": "s"})


async def test_standalone_says_no_code() -> None:
    """Every failure is 400 there, in Agentick 0.14 too."""
    standalone = House(GatewaySettings(form="standalone", wire="0.14"))
    assert refused(standalone, "abort", sessionId="s") == (400, {"error": "Session not found: s"})


async def test_the_newer_wire_has_all_methods_and_aborts() -> None:
    newer = House(GatewaySettings(release="0.9.4", wire="0.14", pace=0))
    newer.send("s", {**MESSAGE, "content": [{"type": "text", "text": "[[scenario:silent]]"}]})
    assert invoke(newer, "abort", {"sessionId": "s"}) is None
    await newer.until(lambda house: house.runs.aborted == 1)
    assert invoke(newer, "status", {"sessionId": "s"})["session"]["isActive"] is False
    await newer.shut()


async def test_schema_config_and_catalog(house: House) -> None:
    assert {*invoke(house, "schema", {})["methods"]} == {*METHODS}
    assert invoke(house, "config", {}) == {"config": {}}
    kinds = {tool["name"]: tool["type"] for tool in invoke(house, "tool-catalog", {"sessionId": "s"})["tools"]}
    assert kinds["add"] == "server"
    assert kinds["client_weather"] == "client"
    assert refused(house, "tool-catalog")[0] == 400


@pytest.mark.parametrize("missing", ["sessionId", "callId"])
async def test_a_confirmation_names_session_and_call(house: House, missing: str) -> None:
    params = {name: "x" for name in ("sessionId", "callId") if name != missing}
    assert refused(house, "tool-confirm", **params)[1]["error"] == f"{missing} is required"


async def test_a_confirmation_nobody_waits_for(house: House) -> None:
    """The real gateway publishes it, and does not know whether anybody listens."""
    assert invoke(house, "tool-confirm", {"sessionId": "s", "callId": "c", "confirmed": True}) == {"ok": True}
