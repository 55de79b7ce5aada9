"""What belongs to one caller cannot be named by another who knows everything but the secret.

The attacker has a key of its own, reads this code, and knows the gateway's address, the names of all keys and sessions,
the model, the conversation, and the time. All identifiers that the proxy makes are tried.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import re
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from oaicompat_proxy.core.caller import scope_of
from oaicompat_proxy.core.message import Message, Text
from oaicompat_proxy.core.signing import Secrets, SigningKeys
from oaicompat_proxy.demo.script import Say, Script, ScriptedToolCall, Tick
from oaicompat_proxy.demo.settings import GatewaySettings
from oaicompat_proxy.server.access.api_keys import number_keys
from oaicompat_proxy.server.sessions.fingerprints import (
    AnswerFingerprint,
    conversation_fingerprint,
    derive_session_name,
)
from oaicompat_proxy.translation.confirmations import Question, sign
from oaicompat_proxy.translation.tool_call_ids import shorten
from tests.support.conformance import check_error_body
from tests.support.proxy_harness import Chat, Front, StartFront, result

pytest_plugins = ["tests.support.proxy_fixtures"]

CONFIRM = "[[scenario:confirm]]"
NAME = "harbour"
LONG_ID = "call_" + "x" * 60
HELLO = (Message("user", (Text("Hi"),)),)
SCOPES = [
    "",
    scope_of(""),
    scope_of("\0ada"),
    scope_of("Bearer ada"),
    number_keys(["ada"], requests_per_minute=0, max_runs=0)[0][1].scope,
]

MADE: dict[str, Callable[[SigningKeys, str], str]] = {
    "session": lambda keys, scope: derive_session_name(keys.newest, scope, "demo", NAME),
    "conversation": lambda keys, scope: conversation_fingerprint(keys.newest, scope, "demo", HELLO),
    "answer": lambda keys, scope: AnswerFingerprint(keys.newest, scope, "demo", HELLO).hexdigest(),
    "question": lambda keys, scope: sign(Question("demo:oc-1", "c1", 2000, lasting=True), keys, scope, "demo"),
    "call": lambda keys, scope: shorten(LONG_ID, keys, scope),
}
"""Every identifier that is made of what others may know."""


def guesses(address: str) -> Iterator[SigningKeys]:
    """Keys made of all that is known without the secret, in every way in which one was ever made."""
    known = ["", address, f"{address}\0", "default", "secret", "oaicompat-proxy", str(int(time.time()))]
    for secret, purpose in itertools.product(known, ["", "/v1", f"{address}\0", address]):
        yield SigningKeys(Secrets([secret.encode()]), purpose)


@pytest.mark.parametrize("identifier", MADE)
def test_without_the_secret_nothing_is_known_of_an_identifier(identifier: str) -> None:
    """All it is made of is the same, and yet every secret gives another."""
    make = MADE[identifier]
    made = {make(SigningKeys(Secrets([b"%d" % number])), SCOPES[2]) for number in range(100)}
    assert len(made) == 100
    assert all(len(set(each)) > 8 and len(each) >= 32 for each in made)


@pytest.mark.parametrize("identifier", MADE)
def test_no_two_callers_share_one(identifier: str) -> None:
    make, keys = MADE[identifier], SigningKeys(Secrets([b"secret"]))
    assert len({make(keys, scope) for scope in SCOPES}) == len(set(SCOPES))


def asking() -> GatewaySettings:
    return GatewaySettings(pace=0)


def sent_confirmations(there: Front) -> list[dict[str, Any]]:
    """The confirmation requests to the gateway, without the proxy's test whether the gateway has the method."""
    bodies = [json.loads(body) for path, body in there.gateway_state.requests if path == "/invoke"]
    parameters = [body["params"] for body in bodies if body["method"] == "tool-confirm"]
    return [params for params in parameters if not params["callId"].startswith("unknown-")]


async def victim(there: Front) -> tuple[Chat, str, str]:
    """Its conversation, the id of its question, and its session."""
    chat = Chat(there, key="ada", name=NAME)
    ((token, name, _),) = (await chat.say(CONFIRM)).tool_calls
    assert name == "confirm_tool_call"
    return chat, token, there.runs[0].session_key


async def attack(there: Front, chat: Chat, token: str, key: str, **how: Any) -> None:
    messages = json.loads(json.dumps(chat.messages))
    messages[-1]["tool_calls"][0]["id"] = token
    received = await there.post([*messages, result(token, "yes")], key=key, **how)
    assert received.status == 400
    assert check_error_body(received.body)["code"] == "confirmation_unknown"


async def test_nobody_answers_anothers_question(front: StartFront) -> None:
    """Checked with the very id, and with ids that are signed with all that is public."""
    there = await front(asking(), confirmations="ask", api_key=("ada", "eve"))
    chat, token, session = await victim(there)
    forged = {
        sign(Question(session, call_id, int(time.time()) + 3600, lasting), keys, scope, "demo")
        for keys in guesses(there.url)
        for scope in SCOPES
        for call_id in ("c1", "call_k1")
        for lasting in (True, False)
    }
    assert token not in forged
    for each in [token, *list(forged)[:: max(1, len(forged) // 10)]]:
        await attack(there, chat, each, "eve")
        await attack(there, chat, each, "eve", name=NAME)
    assert sent_confirmations(there) == []
    assert there.runs[0].status == "running"
    assert len(there.runs) == 1
    await there.close_all_sessions()


async def test_nobody_gets_into_anothers_session(front: StartFront) -> None:
    """By its name, by the gateway's own name for it, or by any that can be computed."""
    there = await front(asking(), api_key=("ada", "eve"))
    await there.ask("Hello", key="ada", name=NAME)
    session = there.runs[0].session_key
    computed = {
        f"demo:{derive_session_name(keys.newest, scope, 'demo', NAME)}"
        for keys in guesses(there.url)
        for scope in SCOPES
    }
    assert session not in computed
    for name in (NAME, session, session.removeprefix("demo:")):
        await there.ask("Let me in", key="eve", name=name)
    assert len({run.session_key for run in there.runs}) == 4
    there.keep_sessions()


async def test_names_that_nobody_chose_are_of_chance(front: StartFront) -> None:
    there = await front(asking(), api_key=("ada", "eve"))
    for _ in range(3):
        await there.ask("Hello", key="ada")
    names = [run.session_key.partition(":")[2] for run in there.runs]
    assert len(set(names)) == 3
    assert all(re.fullmatch(r"oc-[A-Za-z0-9_-]{32}", name) for name in names)
    parts = [{name[start : start + 8] for name in names} for start in range(3, 35, 8)]
    assert all(len(part) == 3 for part in parts), "no part of one shows another"


async def test_an_agents_long_id_leads_back_only_for_its_caller(front: StartFront) -> None:
    call = Tick(
        (ScriptedToolCall(LONG_ID, "tide", ("{}",), executed_by="client"),),
        stop_reason="tool_use",
        should_continue=False,
    )
    gateway = GatewaySettings(pace=0, recordings={"go": Script((call, Tick((Say(("Done.",)),))))})
    there = await front(gateway, api_key=("ada", "eve"), history="full")
    tools = [{"type": "function", "function": {"name": "tide", "parameters": {"type": "object"}}}]
    ((short, _, _),) = (await there.ask("go", key="ada", tools=tools)).tool_calls
    assert short not in {shorten(LONG_ID, keys, scope) for keys in guesses(there.url) for scope in SCOPES}
    made = {"id": short, "type": "function", "function": {"name": "tide", "arguments": "{}"}}
    messages = [{"role": "user", "content": "x"}, {"role": "assistant", "tool_calls": [made]}, result(short, "06:12")]
    for key, known in (("eve", False), ("ada", True)):
        await there.post(messages, key=key)
        path, body = [each for each in there.gateway_state.requests if each[0] == "/send"][-1]
        assert (LONG_ID in body.decode()) == known, (key, path)


def test_the_digest_of_a_key_is_no_secret() -> None:
    """A caller's scope is made of its key's name or digest: that it is known opens nothing."""
    assert scope_of("\0ada") == hashlib.sha256(b"\0ada").hexdigest()
