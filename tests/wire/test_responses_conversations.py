"""Conversations: their routes, and responses that belong to one, in every store."""

from __future__ import annotations

import asyncio
import io
import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.conformance import check_error_body
from tests.support.proxy import Proxy, Received, StartProxy
from tests.support.proxy_harness import RedisServer
from tests.support.responses_conformance import (
    ResponseAnswer,
    check_conversation,
    check_deleted_conversation,
    check_item,
    check_item_list,
    check_response_body,
    check_response_stream,
)
from tests.support.scripted_gateway import OPENING, Agent, closing, failure, run, session_and_prompt, text, tool_call

pytest_plugins = ["tests.support.proxy_fixtures"]

PATH = "/v1/conversations"
TOOL = {"type": "function", "name": "weather", "parameters": {"type": "object"}}
both_ways = pytest.mark.parametrize("stream", [True, False])


def as_key(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"} if key else {}


def message(words: str, role: str = "user") -> dict[str, Any]:
    return {"type": "message", "role": role, "content": words}


async def call(front: Proxy, method: str, below: str = "", body: Any = None, *, key: str = "") -> Received:
    data = None if body is None else io.BytesIO(json.dumps(body).encode())
    return await front.request(method, PATH + below, data=data, headers={**as_key(key), "Connection": "close"})


async def good(front: Proxy, method: str, below: str = "", body: Any = None, *, key: str = "") -> bytes:
    received = await call(front, method, below, body, key=key)
    assert received.status == 200, received.body
    return received.body


async def create(front: Proxy, *items: Any, key: str = "", **fields: Any) -> str:
    body = {**({"items": list(items)} if items else {}), **fields}
    return str(check_conversation(await good(front, "POST", "", body, key=key))["id"])


async def post(front: Proxy, conversation: Any, given: Any, *, key: str = "", **fields: Any) -> Received:
    body = json.dumps({"model": "default", "input": given, "conversation": conversation, **fields}).encode()
    return await front.post(body, path="/v1/responses", headers=as_key(key))


async def ask(front: Proxy, conversation: Any, given: Any, *, stream: bool = True, **fields: Any) -> ResponseAnswer:
    received = await post(front, conversation, given, stream=stream, **fields)
    assert received.status == 200, received.body
    return check_response_stream(received.body) if stream else check_response_body(received.body)


async def items_of(front: Proxy, conversation: str, *, key: str = "") -> list[dict[str, Any]]:
    return check_item_list(await good(front, "GET", f"/{conversation}/items?order=asc&limit=100", key=key))


async def words_of(front: Proxy, conversation: str) -> list[str]:
    return [item["content"][0]["text"] for item in await items_of(front, conversation) if item["type"] == "message"]


# The routes


async def test_a_conversation_is_made_read_changed_and_deleted(proxy: StartProxy, store: dict[str, Any]) -> None:
    front = await proxy(**store)
    made = check_conversation(await good(front, "POST", "", {"metadata": {"topic": "owls"}}))
    assert made["id"].startswith("conv_")
    assert made["metadata"] == {"topic": "owls"}
    below = f"/{made['id']}"
    assert check_conversation(await good(front, "GET", below)) == made
    changed = check_conversation(await good(front, "POST", below, {"metadata": {"topic": "bats"}}))
    assert changed == {**made, "metadata": {"topic": "bats"}}
    assert check_conversation(await good(front, "GET", below)) == changed
    assert check_deleted_conversation(await good(front, "DELETE", below)) == made["id"]
    for method in ("GET", "DELETE"):
        assert (await call(front, method, below)).status == 404


async def test_without_a_body_it_is_empty(proxy: StartProxy) -> None:
    front = await proxy()
    received = await front.request("POST", PATH)
    made = check_conversation(received.body)
    assert made["metadata"] == {}
    assert await items_of(front, made["id"]) == []


async def test_items_are_added_listed_in_pages_read_and_deleted(proxy: StartProxy, store: dict[str, Any]) -> None:
    front = await proxy(**store)
    conversation = await create(front, message("One"), message("Two", "assistant"))
    call_item = {"type": "function_call", "call_id": "c1", "name": "tide", "arguments": "{}"}
    output = {"type": "function_call_output", "call_id": "c1", "output": "high"}
    added = check_item_list(
        await good(front, "POST", f"/{conversation}/items", {"items": [call_item, output, message("Three")]})
    )
    assert [item["type"] for item in added] == ["function_call", "function_call_output", "message"]
    everything = await items_of(front, conversation)
    assert everything[2:] == added
    assert len({item["id"] for item in everything}) == 5
    newest = json.loads(await good(front, "GET", f"/{conversation}/items?limit=2"))
    assert ([*reversed(everything[-2:])], True) == (newest["data"], newest["has_more"])
    rest = json.loads(await good(front, "GET", f"/{conversation}/items?after={newest['last_id']}&include=x"))
    assert ([*reversed(everything[:-2])], False) == (rest["data"], rest["has_more"])
    one = f"/{conversation}/items/{everything[1]['id']}"
    assert check_item(await good(front, "GET", one)) == everything[1]
    assert check_conversation(await good(front, "DELETE", one))["id"] == conversation
    assert [item["id"] for item in await items_of(front, conversation)] == [
        item["id"] for index, item in enumerate(everything) if index != 1
    ]
    for method in ("GET", "DELETE"):
        gone = await call(front, method, one)
        assert check_error_body(gone.body)["message"] == f"Item with id '{everything[1]['id']}' not found."
        assert gone.status == 404


async def test_two_items_never_have_one_id(proxy: StartProxy) -> None:
    front = await proxy()
    twice = {**message("One"), "id": "msg_mine"}
    conversation = await create(front, twice, twice)
    first = (await items_of(front, conversation))[1]["id"]
    await good(front, "DELETE", f"/{conversation}/items/{first}")
    await good(front, "POST", f"/{conversation}/items", {"items": [{**message("x"), "id": first}, *[message("y")] * 3]})
    items = await items_of(front, conversation)
    assert len({item["id"] for item in items}) == len(items) == 5


@pytest.mark.parametrize(
    ("method", "below", "body"),
    [
        ("GET", "", None),
        ("POST", "", {"metadata": {}}),
        ("DELETE", "", None),
        ("GET", "/items", None),
        ("POST", "/items", {"items": [message("x")]}),
        ("GET", "/items/msg_x", None),
        ("DELETE", "/items/msg_x", None),
    ],
)
async def test_unknown_and_foreign_ids_have_the_same_error(
    proxy: StartProxy, agent: Agent, method: str, below: str, body: Any
) -> None:
    agent.plays(run("Hello"))
    front = await proxy(api_key=("alice", "bob"))
    hers = await create(front, message("Secret"), key="alice")
    response = json.loads((await post(front, hers, "Hi", key="alice")).body)["id"]
    for name in (hers, "conv_" + "0" * 32, response, "x"):
        refused = await call(front, method, f"/{name}{below}", body, key="bob")
        error = check_error_body(refused.body)
        assert (refused.status, error["message"]) == (404, f"Conversation with id '{name}' not found.")
    assert (await call(front, method, f"/{response}{below}", body, key="alice")).status == 404


@pytest.mark.parametrize(
    ("below", "body", "param"),
    [
        ("", {"items": [{"type": "owl"}]}, "items[0].type"),
        ("", {"items": "hi"}, "items"),
        ("", {"metadata": {"a": 1}}, "metadata.a"),
        ("", {"items": [message("x")] * 21}, "items"),
        ("", {"items": [{"type": "item_reference", "id": "msg_x0000"}]}, "items[0].id"),
        ("/ID", {}, "metadata"),
        ("/ID/items", {}, "items"),
        ("/ID/items", {"items": []}, "items"),
        ("/ID/items", {"items": [message("x" * 150_000)] * 15}, "conversation"),
    ],
)
async def test_bad_bodies_change_nothing(proxy: StartProxy, below: str, body: Any, param: str) -> None:
    front = await proxy()
    conversation = await create(front, message("One"))
    refused = await call(front, "POST", below.replace("ID", conversation), body)
    assert refused.status in (400, 404)
    assert check_error_body(refused.body)["param"] == param
    assert await words_of(front, conversation) == ["One"]


async def test_a_server_that_stores_nothing_has_none(proxy: StartProxy) -> None:
    front = await proxy(responses="stateless")
    refused = await call(front, "POST", "", {})
    assert (refused.status, check_error_body(refused.body)["code"]) == (404, "unsupported_endpoint")
    assert (await post(front, "conv_0", "Hi")).status == 404


async def test_many_changes_at_once_are_all_there(proxy: StartProxy, store: dict[str, Any]) -> None:
    fronts = [await proxy(**store) for _ in range(2)]
    conversation = await create(fronts[0])
    numbers = [str(number) for number in range(12)]
    await asyncio.gather(
        *(
            good(fronts[index % 2], "POST", f"/{conversation}/items", {"items": [message(number)]})
            for index, number in enumerate(numbers)
        )
    )
    assert sorted(await words_of(fronts[1], conversation), key=int) == numbers


# Responses in a conversation


@both_ways
async def test_only_what_is_new_goes_to_its_session(
    proxy: StartProxy, agent: Agent, store: dict[str, Any], stream: bool
) -> None:
    agent.plays(run("Hello"))
    front = await proxy(**store)
    conversation = await create(front)
    first = await ask(front, conversation, "One", stream=stream)
    assert first.response["conversation"] == {"id": conversation}
    await ask(front, {"id": conversation}, [message("Two")], stream=stream)
    await ask(front, conversation, "Three", stream=stream, store=False)
    sessions, prompts = zip(*(session_and_prompt(agent, index) for index in range(3)), strict=True)
    assert (len({*sessions}), prompts) == (1, ("One", "Two", "Three"))
    assert await words_of(front, conversation) == ["One", "Hello", "Two", "Hello", "Three", "Hello"]
    assert (await items_of(front, conversation))[1] == first.response["output"][0]


async def test_items_of_its_beginning_are_listed(proxy: StartProxy, agent: Agent) -> None:
    agent.plays(run("Hello"))
    front = await proxy()
    conversation = await create(front, message("My name is Ada."), message("Hello Ada.", "assistant"))
    await ask(front, conversation, "Who am I?")
    assert "My name is Ada." in session_and_prompt(agent)[1]
    await ask(front, conversation, "And now?")
    assert session_and_prompt(agent) == (session_and_prompt(agent, 0)[0], "And now?")


@pytest.mark.parametrize("change", ["added", "deleted"])
async def test_a_change_by_hand_begins_a_session_with_everything(proxy: StartProxy, agent: Agent, change: str) -> None:
    agent.plays(run("Hello"))
    front = await proxy()
    conversation = await create(front)
    await ask(front, conversation, "One")
    await ask(front, conversation, "Two")
    if change == "added":
        await good(front, "POST", f"/{conversation}/items", {"items": [message("By the way.")]})
    else:
        first = (await items_of(front, conversation))[0]["id"]
        await good(front, "DELETE", f"/{conversation}/items/{first}")
    await ask(front, conversation, "Three")
    session, prompt = session_and_prompt(agent)
    assert session != session_and_prompt(agent, 0)[0]
    assert "Two" in prompt
    assert ("One" in prompt) == ("By the way." in prompt) == (change == "added")
    await ask(front, conversation, "Four")
    assert session_and_prompt(agent) == (session, "Four")


async def test_metadata_may_change_in_between(proxy: StartProxy, agent: Agent) -> None:
    agent.plays(run("Hello"))
    front = await proxy()
    conversation = await create(front)
    await ask(front, conversation, "One")
    await good(front, "POST", f"/{conversation}", {"metadata": {"a": "b"}})
    await ask(front, conversation, "Two")
    assert session_and_prompt(agent) == (session_and_prompt(agent, 0)[0], "Two")
    assert check_conversation(await good(front, "GET", f"/{conversation}"))["metadata"] == {"a": "b"}


async def test_a_fork_by_its_response_leaves_the_conversation_whole(proxy: StartProxy, agent: Agent) -> None:
    agent.plays(run("Hello"))
    front = await proxy()
    conversation = await create(front)
    first = await ask(front, conversation, "One")
    body = json.dumps({"model": "default", "input": "Fork", "previous_response_id": first.id}).encode()
    assert (await front.post(body, path="/v1/responses")).status == 200
    assert session_and_prompt(agent) == (session_and_prompt(agent, 0)[0], "Fork")
    await ask(front, conversation, "Two")
    session, prompt = session_and_prompt(agent)
    assert session != session_and_prompt(agent, 0)[0]
    assert "One" in prompt
    assert "Fork" not in prompt
    assert await words_of(front, conversation) == ["One", "Hello", "Two", "Hello"]


async def test_tools_of_the_client(proxy: StartProxy, agent: Agent) -> None:
    agent.plays(*run()[:3], *tool_call("call_1", "weather", '{"city":"Brest"}'), closing())
    front = await proxy()
    conversation = await create(front)
    first = await ask(front, conversation, "One", tools=[TOOL])
    unanswered = await post(front, conversation, "Two", tools=[TOOL])
    assert (unanswered.status, check_error_body(unanswered.body)["param"]) == (400, "conversation")
    agent.plays(run("Sunny"))
    output = {"type": "function_call_output", "call_id": first.calls[0][0], "output": "21 degrees"}
    await ask(front, conversation, [output], tools=[TOOL])
    assert session_and_prompt(agent)[0] == session_and_prompt(agent, 0)[0]
    types = [item["type"] for item in await items_of(front, conversation)]
    assert types == ["message", "function_call", "function_call_output", "message"]


@pytest.mark.parametrize("how", ["failure", "left"])
async def test_a_run_without_an_answer_adds_nothing(proxy: StartProxy, agent: Agent, how: str) -> None:
    agent.plays(run("Hello"))
    front = await proxy()
    conversation = await create(front)
    await ask(front, conversation, "One")
    agent.plays(OPENING, text("Hel"), failure("no luck") if how == "failure" else "stall")
    body = {"model": "default", "input": "Two", "conversation": conversation, "stream": True}
    if how == "failure":
        assert b"response.failed" in (await post(front, conversation, "Two", stream=True)).body
    else:
        line = await front.dial()
        await line.post(json.dumps(body).encode(), path="/v1/responses")
        await line.read_until(b"Hel")
        line.reset()
    agent.plays(run("Hello"))
    await ask(front, conversation, "Two")
    assert "Two" in session_and_prompt(agent)[1]
    assert await words_of(front, conversation) == ["One", "Hello", "Two", "Hello"]


async def test_an_answer_that_was_cut_is_a_part_of_it(proxy: StartProxy, agent: Agent) -> None:
    agent.plays(run("Once upon", stop="max_tokens"))
    front = await proxy()
    conversation = await create(front)
    await ask(front, conversation, "One")
    assert await words_of(front, conversation) == ["One", "Once upon"]


async def test_in_background(proxy: StartProxy, agent: Agent) -> None:
    agent.plays(run("Hello"))
    front = await proxy()
    conversation = await create(front)
    queued = json.loads((await post(front, conversation, "One", background=True)).body)
    assert (queued["status"], queued["conversation"]) == ("queued", {"id": conversation})
    await ask(front, conversation, "Two")  # waits for the run before it
    assert await words_of(front, conversation) == ["One", "Hello", "Two", "Hello"]
    assert session_and_prompt(agent) == (session_and_prompt(agent, 0)[0], "Two")


async def test_two_requests_at_once_follow_each_other(proxy: StartProxy, agent: Agent, store: dict[str, Any]) -> None:
    gate = asyncio.Event()
    agent.plays(OPENING, gate, text("Hello"), closing())
    front = await proxy(**store)
    conversation = await create(front)
    first = asyncio.create_task(ask(front, conversation, "One"))
    await agent.until(lambda: agent.runs)
    second = asyncio.create_task(ask(front, conversation, "Two"))
    await asyncio.sleep(0.05)
    assert len(agent.runs) == 1
    gate.set()
    await asyncio.gather(first, second)
    assert await words_of(front, conversation) == ["One", "Hello", "Two", "Hello"]
    assert session_and_prompt(agent) == (session_and_prompt(agent, 0)[0], "Two")


async def test_who_does_not_wait_is_refused(proxy: StartProxy, agent: Agent, redis_server: RedisServer) -> None:
    gate = asyncio.Event()
    agent.plays(OPENING, gate, text("Hello"), closing())
    fronts = [await proxy(redis=redis_server.url, session_wait=0) for _ in range(2)]
    conversation = await create(fronts[0])
    first = asyncio.create_task(ask(fronts[0], conversation, "One"))
    await agent.until(lambda: agent.runs)
    for front in fronts:
        refused = await post(front, conversation, "Two")
        assert (refused.status, check_error_body(refused.body)["code"]) == (409, "session_busy")
    gate.set()
    await first
    assert await words_of(fronts[1], conversation) == ["One", "Hello"]


async def test_processes_without_a_common_lock_lose_and_mix_nothing(
    proxy: StartProxy, agent: Agent, tmp_path: Path
) -> None:
    gate = asyncio.Event()
    agent.plays(OPENING, gate, text("Hello"), closing())
    fronts = [await proxy(response_db=str(tmp_path / "responses.db")) for _ in range(2)]
    conversation = await create(fronts[0])
    both = [asyncio.create_task(ask(front, conversation, words)) for front, words in zip(fronts, "AB", strict=True)]
    await agent.until(lambda: len(agent.runs) == 2)
    await good(fronts[0], "POST", f"/{conversation}/items", {"items": [message("C")]})
    gate.set()
    await asyncio.gather(*both)
    words = await words_of(fronts[0], conversation)
    assert words in (["C", "A", "Hello", "B", "Hello"], ["C", "B", "Hello", "A", "Hello"])
    await ask(fronts[0], conversation, "Go on")
    assert all(f"> {each}" in session_and_prompt(agent)[1] for each in "ABC")


async def test_deleted_while_its_run_goes_on_it_stays_deleted(
    proxy: StartProxy, agent: Agent, store: dict[str, Any]
) -> None:
    gate = asyncio.Event()
    agent.plays(OPENING, gate, text("Hello"), closing())
    front = await proxy(**store)
    conversation = await create(front)
    running = asyncio.create_task(ask(front, conversation, "One"))
    await agent.until(lambda: agent.runs)
    await good(front, "DELETE", f"/{conversation}")
    gate.set()
    assert (await running).text == "Hello"
    assert (await call(front, "GET", f"/{conversation}")).status == 404
    assert (await post(front, conversation, "Two")).status == 404


@both_ways
@pytest.mark.parametrize("given", [None, []], ids=["null", "empty"])
async def test_behind_earlier_items_a_request_needs_no_input(
    proxy: StartProxy, agent: Agent, given: Any, stream: bool
) -> None:
    agent.plays(run("Hello"))
    front = await proxy()
    conversation = await create(front, message("Hi"))
    first = await ask(front, conversation, given, stream=stream)
    second = await ask(front, None, given, stream=stream, previous_response_id=first.id)
    assert (first.text, second.text) == ("Hello", "Hello")
    assert await words_of(front, conversation) == ["Hi", "Hello"]
    for nothing in (None, await create(front)):
        refused = await post(front, nothing, given)
        assert (refused.status, check_error_body(refused.body)["param"]) == (400, "input")


async def test_what_cannot_be_in_one_is_refused(proxy: StartProxy, agent: Agent) -> None:
    agent.plays(run("Hello"))
    front = await proxy(api_key=("alice", "bob"))
    hers = await create(front, key="alice")
    response = json.loads((await post(front, hers, "Hi", key="alice")).body)["id"]
    for conversation in ("conv_x", response, hers):
        refused = await post(front, conversation, "Hi", key="bob")
        message = f"Conversation with id '{conversation}' not found."
        assert (refused.status, check_error_body(refused.body)["message"]) == (404, message)
    for nameless in ("", {"id": ""}, {"id": "", "more": 1}):
        refused = await post(front, nameless, "Hi", key="alice")
        assert (refused.status, check_error_body(refused.body)["param"]) == (404, "conversation")
    both = await post(front, hers, "Hi", key="alice", previous_response_id=response)
    assert (both.status, check_error_body(both.body)["code"]) == (400, "mutually_exclusive_parameters")
    for conversation in (1, {}, {"id": 1}, []):
        odd = await post(front, conversation, "Hi", key="alice")
        assert odd.status == 400
        assert str(check_error_body(odd.body)["param"]).startswith("conversation")
    assert len(agent.runs) == 1


async def test_a_full_conversation_is_refused_before_its_run(proxy: StartProxy, agent: Agent) -> None:
    agent.plays(run("Hello"))
    front = await proxy()
    conversation = await create(front)
    for number in range(4):
        body = json.dumps({"model": "default", "input": str(number) * 600_000, "conversation": conversation}).encode()
        received = await front.post(body, path="/v1/responses", headers={"Connection": "close"})
        if received.status != 200:
            break
    assert (received.status, check_error_body(received.body)["code"]) == (400, "conversation_full")
    assert len(agent.runs) == 3
    assert len(await items_of(front, conversation)) == 6


async def test_it_outlives_the_process_in_a_file(proxy: StartProxy, agent: Agent, tmp_path: Path) -> None:
    agent.plays(run("Hello"))
    file = str(tmp_path / "responses.db")
    front = await proxy(response_db=file)
    conversation = await create(front)
    await ask(front, conversation, "One")
    later = await proxy(response_db=file)
    await ask(later, conversation, "Two")
    assert "One" in session_and_prompt(agent)[1]
    await ask(later, conversation, "Three")
    assert session_and_prompt(agent) == (session_and_prompt(agent, 1)[0], "Three")


async def test_a_flushed_redis_knows_none(proxy: StartProxy, agent: Agent, redis_server: RedisServer) -> None:
    agent.plays(run("Hello"))
    front = await proxy(redis=redis_server.url)
    conversation = await create(front)
    await ask(front, conversation, "One")
    redis_server.flush()
    assert (await post(front, conversation, "Two")).status == 404
    agent.kept_sessions |= {session_and_prompt(agent, 0)[0]}


async def test_without_redis_nothing_is_run_or_made(proxy: StartProxy, agent: Agent, own_redis: RedisServer) -> None:
    agent.plays(run("Hello"))
    front = await proxy(redis=own_redis.url)
    conversation = await create(front)
    own_redis.stop()
    assert (await post(front, conversation, "One")).status == 503
    assert (await call(front, "POST", "", {})).status == 503
    assert not agent.runs


async def test_forget_deletes_them_too(proxy: StartProxy, agent: Agent, store: dict[str, Any]) -> None:
    front = await proxy(api_key=("forgotten",), **store)
    conversation = await create(front, message("x"), key="forgotten")
    received = await front.request("DELETE", "/v1/kept_data", headers=as_key("forgotten"))
    assert json.loads(received.body)["kinds"]["stored_responses"] == 1
    assert (await call(front, "GET", f"/{conversation}", key="forgotten")).status == 404


async def test_items_of_a_conversation_can_be_referred_to(proxy: StartProxy, agent: Agent) -> None:
    agent.plays(run("Hello"))
    front = await proxy()
    conversation = await create(front, message("My name is Ada."))
    item = (await items_of(front, conversation))[0]["id"]
    body = json.dumps({"model": "default", "input": [{"type": "item_reference", "id": item}]}).encode()
    assert (await front.post(body, path="/v1/responses")).status == 200
    assert session_and_prompt(agent)[1] == "My name is Ada."
    other = await create(front, {"type": "item_reference", "id": item})
    assert await words_of(front, other) == ["My name is Ada."]
