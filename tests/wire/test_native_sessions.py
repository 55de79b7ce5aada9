"""Sessions of the gateway's own, which another front end may have begun (setting `session_names`)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import aiohttp
import pytest

from oaicompat_proxy.demo.settings import GatewaySettings
from oaicompat_proxy.server.access.api_keys import new_entry
from tests.support.conformance import check_error_body
from tests.support.proxy_harness import Front, StartFront, result, user

pytest_plugins = ["tests.support.proxy_fixtures"]

NATIVE: dict[str, Any] = {"session_names": "native"}
SAID = [user("What is 2 + 2?"), {"role": "assistant", "content": "4"}]
WIRES = [GatewaySettings(pace=0), GatewaySettings(pace=0, wire="0.14", form="standalone")]


async def begin_elsewhere(there: Front, key: str) -> None:
    """Another front end has used this session."""
    body = {"sessionId": key, "message": {"role": "user", "content": [{"type": "text", "text": "Hello"}]}}
    async with aiohttp.ClientSession() as client, client.post(f"{there.url}/send", json=body) as response:
        await response.read()
        assert response.status == 200


@pytest.mark.parametrize("gateway", WIRES, ids=["0.9", "0.14"])
async def test_a_client_joins_a_session_that_another_front_end_began(
    front: StartFront, gateway: GatewaySettings
) -> None:
    there = await front(gateway, **NATIVE)
    await begin_elsewhere(there, "demo:main")
    await there.ask("And now?", name="main", model="demo")
    await there.ask("And now?", name="demo:main")
    await there.ask("And now?", name="main", key="bob")
    (session,) = there.gateway_state.sessions
    assert (session.key, len(session.timeline)) == ("demo:main", 8)
    there.keep_sessions()


async def test_only_what_follows_the_last_answer_goes_there(front: StartFront) -> None:
    """For any history of the session: no fingerprint is looked up."""
    there = await front(**NATIVE)
    await there.ask([{"role": "system", "content": "Be brief."}, *SAID, user("And 3 + 3?")], name="main")
    assert there.prompt() == "And 3 + 3?"
    await there.ask([*SAID, user("And 4 + 4?")], name="main")
    assert there.prompt() == "And 4 + 4?"
    assert {run.session_key for run in there.runs} == {"demo:main"}
    there.keep_sessions()


@pytest.mark.parametrize("gateway", WIRES, ids=["0.9", "0.14"])
@pytest.mark.parametrize("scenario", ["answer", "fail", "cut"])
async def test_it_is_never_closed(front: StartFront, scenario: str, gateway: GatewaySettings) -> None:
    there = await front(gateway, session_drain=0.1, **NATIVE)
    await there.post(f"[[scenario:{scenario}]]", name="main")
    await there.until(lambda: not there.running)
    await there.post("Still there?", name="main")
    assert not [path for path, body in there.gateway_state.requests if path == "/close" or b'"close"' in body]
    there.keep_sessions()


async def test_a_reader_who_leaves_stops_the_run_and_not_the_session(front: StartFront) -> None:
    there = await front(WIRES[1], **NATIVE)
    await there.ask("Hello", name="main")
    line = await there.line("[[scenario:silent]]", name="main")
    await there.until(lambda: there.running)
    await line.close()
    await there.until(lambda: not there.running)
    (session,) = there.gateway_state.sessions
    assert len(session.timeline) == 2
    there.keep_sessions()


async def test_without_the_setting_no_name_leads_there(front: StartFront) -> None:
    there = await front()
    for name in ("main", "demo:main"):
        await there.ask("Hello", name=name)
    assert "demo:main" not in there.sessions
    there.keep_sessions()


@pytest.fixture
def keys_file(tmp_path: Path) -> str:
    path = tmp_path / "keys.toml"
    trusted = new_entry("ada", "ada") + "native_sessions = true\n"
    bound = new_entry("eve", "eve") + 'native_sessions = true\nmodels = ["default"]\n'
    path.write_text(trusted + bound + new_entry("bob", "bob"))
    return str(path)


async def test_with_keys_only_those_whose_entry_says_so(front: StartFront, keys_file: str) -> None:
    there = await front(api_keys_file=keys_file, api_key=("carl",), **NATIVE)
    for key in ("bob", "carl"):
        await there.ask("Hello", name="main", key=key)
        assert "demo:main" not in there.sessions, "the name is one of the key's own"
    await there.ask("Hello", name="main", key="ada")
    assert "demo:main" in there.sessions
    there.keep_sessions()


@pytest.mark.parametrize(
    ("name", "key", "model"),
    [("echo:main", "ada", "demo"), ("echo:main", "eve", "default"), ("a\tb", "ada", "demo")],
)
async def test_a_name_that_leads_elsewhere_is_refused(
    front: StartFront, keys_file: str, name: str, key: str, model: str
) -> None:
    """A key may be bound to models, and so to their agents."""
    there = await front(api_keys_file=keys_file, **NATIVE)
    received = await there.post("Hello", name=name, key=key, model=model)
    assert (received.status, check_error_body(received.body)["code"]) == (400, "invalid_session")
    assert there.runs == []


async def test_a_tool_result_goes_to_the_session(front: StartFront) -> None:
    there = await front(**NATIVE)
    call = {"id": "c1", "type": "function", "function": {"name": "tide", "arguments": "{}"}}
    asked = {"role": "assistant", "content": None, "tool_calls": [call]}
    await there.ask([user("Hi"), asked, result("c1", "At noon.")], name="main")
    assert "At noon." in there.prompt()
    assert "Hi" not in there.prompt().splitlines()
    there.keep_sessions()
