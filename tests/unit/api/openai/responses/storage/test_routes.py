"""The routes of the Responses API that run no agent, on a socket."""

from __future__ import annotations

import json

import pytest
from openai import AsyncOpenAI, NotFoundError

from tests.support.conformance import check_error_body
from tests.support.proxy import Proxy, Received, StartProxy
from tests.support.scripted_gateway import Agent, answer, run

RESPONSES = "/v1/responses"
OF_AN_ID = [("GET", ""), ("DELETE", ""), ("POST", "/cancel"), ("GET", "/input_items")]
ALICE, BOB = ({"Authorization": f"Bearer {name}"} for name in ("alice", "bob"))

of_an_id = pytest.mark.parametrize(("method", "below"), OF_AN_ID)


@pytest.fixture
async def front(agent: Agent, proxy: StartProxy) -> Proxy:
    agent.plays(run("Hello", " there"))
    agent.replies("/invoke", answer({"apps": [{"id": "owl"}]}))
    return await proxy(api_key=("alice", "bob"))


async def respond(front: Proxy, **fields: object) -> Received:
    body = json.dumps({"model": "owl", "input": "Hi", **fields}).encode()
    return await front.post(body, path=RESPONSES, headers=ALICE)


async def stored(front: Proxy) -> str:
    """The id of an answer of Alice's."""
    return str(json.loads((await respond(front)).body)["id"])


async def refused(
    front: Proxy, method: str, path: str, headers: dict[str, str], body: bytes | None = None
) -> dict[str, object]:
    received = await front.request(method, RESPONSES + path, headers=headers, data=body)
    return {"status": received.status, **check_error_body(received.body)}


@of_an_id
async def test_unknown_deleted_and_foreign_ids_have_the_same_error(front: Proxy, method: str, below: str) -> None:
    foreign, deleted = await stored(front), await stored(front)
    await front.request("DELETE", f"{RESPONSES}/{deleted}", headers=ALICE)
    unknown = "resp_" + "0" * len(deleted.removeprefix("resp_"))
    for each, caller in ((foreign, BOB), (deleted, ALICE), (unknown, ALICE)):
        error = await refused(front, method, f"/{each}{below}", caller)
        assert error == {
            "status": 404,
            "message": f"Response with id '{each}' not found.",
            "type": "invalid_request_error",
            "param": "response_id",
            "code": None,
        }


@of_an_id
async def test_other_stored_entries_are_no_responses(front: Proxy, method: str, below: str) -> None:
    created = await front.post(b"{}", path="/v1/conversations", headers=ALICE)
    conversation, answer_id = json.loads(created.body)["id"], await stored(front)
    for each in (conversation, f"{answer_id}%2Finput"):
        assert (await refused(front, method, f"/{each}{below}", ALICE))["status"] == 404
    assert (await front.request("GET", f"/v1/conversations/{conversation}", headers=ALICE)).status == 200
    assert (await respond(front, previous_response_id=answer_id)).status == 200


@of_an_id
async def test_nothing_is_found_where_nothing_is_stored(
    proxy: StartProxy, front: Proxy, method: str, below: str
) -> None:
    stateless = await proxy(api_key=("alice",), responses="stateless")
    error = await refused(stateless, method, f"/{await stored(stateless)}{below}", ALICE)
    assert error["status"] == 404


async def test_a_deleted_answer_cannot_be_continued(agent: Agent, front: Proxy) -> None:
    answer_id = await stored(front)
    received = await front.request("DELETE", f"{RESPONSES}/{answer_id}", headers=ALICE)
    assert json.loads(received.body) == {"id": answer_id, "object": "response", "deleted": True}
    runs = len(agent.runs)
    error = check_error_body((await respond(front, previous_response_id=answer_id)).body)
    assert (error["code"], error["param"]) == ("previous_response_not_found", "previous_response_id")
    assert len(agent.runs) == runs


async def test_another_callers_answer_cannot_be_deleted(front: Proxy) -> None:
    answer_id = await stored(front)
    await refused(front, "DELETE", f"/{answer_id}", BOB)
    assert (await respond(front, previous_response_id=answer_id)).status == 200


async def test_a_complete_answer_stays_complete_when_it_is_cancelled(front: Proxy) -> None:
    received = await front.request("POST", f"{RESPONSES}/{await stored(front)}/cancel", headers=ALICE)
    assert (received.status, json.loads(received.body)["status"]) == (200, "completed")


@pytest.mark.parametrize("path", ["/input_tokens", "/compact"])
async def test_what_no_agent_can_give_is_refused(agent: Agent, front: Proxy, path: str) -> None:
    error = await refused(front, "POST", path, ALICE, b'{"model":"owl","input":"Hi"}')
    assert (error["status"], error["code"]) == (404, "unsupported_endpoint")
    assert not agent.runs


@pytest.mark.parametrize("path", ["/%00", "/" + "x" * 5000, "/%F0%9F%8C%8A", "/a%2Fb", "/x/y/z"])
async def test_strange_ids_are_unknown_ones(front: Proxy, path: str) -> None:
    error = await refused(front, "GET", path, ALICE)
    assert error["status"] == 404
    assert len(str(error["message"])) < 600


async def test_a_key_is_needed(front: Proxy) -> None:
    assert (await refused(front, "GET", "/resp_1", {}))["status"] == 401


async def test_other_methods_are_refused(front: Proxy) -> None:
    received = await front.request("PUT", f"{RESPONSES}/resp_1", headers=ALICE)
    assert (received.status, received.headers["allow"]) == (405, "DELETE, GET")


async def test_a_page_may_delete_and_read_the_error(proxy: StartProxy) -> None:
    front = await proxy(cors="http://page.example")
    page = {"Origin": "http://page.example"}
    asking = {"Access-Control-Request-Method": "DELETE", "Access-Control-Request-Headers": "authorization,openai-beta"}
    allowed = await front.request("OPTIONS", f"{RESPONSES}/resp_1", headers=page | asking)
    assert allowed.status == 204
    assert "DELETE" in allowed.headers["access-control-allow-methods"]
    assert allowed.headers["access-control-allow-headers"] == "authorization,openai-beta"
    refused = await front.request("DELETE", f"{RESPONSES}/resp_1", headers=page)
    assert (refused.status, refused.headers["access-control-allow-origin"]) == (404, "http://page.example")


@pytest.mark.slow
async def test_the_official_client_reads_the_errors(front: Proxy) -> None:
    async with AsyncOpenAI(base_url=f"{front.base}/v1", api_key="alice", max_retries=0) as client:
        with pytest.raises(NotFoundError, match="not found"):
            await client.responses.retrieve("resp_1")
        with pytest.raises(NotFoundError, match="not supported"):
            await client.responses.input_tokens.count(model="owl", input="Hi")
        await client.responses.delete(await stored(front))
