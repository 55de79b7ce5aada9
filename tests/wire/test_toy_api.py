"""The seam between the server and a client API, shown with an API of the tests' own: whatever speaks `ClientApi` is
streamed, sent whole, fails, is idempotent, limited and recorded by the handler that serves OpenAI's clients.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from oaicompat_proxy.api.openai.chat.api import CHAT
from oaicompat_proxy.core.answer import Envelope
from oaicompat_proxy.pipeline.pipeline import Pipeline
from tests.support.proxy import Received, StartProxy
from tests.support.recordings import first_recording
from tests.support.scripted_gateway import Agent, Reply, answer, failure, run
from tests.support.toy_api import ToyApi

TOY = "/v1/toy"
HELLO = [b"".join(run("Hello ", "Bob"))]


APIS = (CHAT, ToyApi())


def lines(received: Received) -> list[str]:
    assert received.status == 200, received.body
    return received.body.decode().removesuffix("\n\n").split("\n\n")


async def test_it_is_streamed(agent: Agent, proxy: StartProxy) -> None:
    agent.replies("/send", Reply(HELLO))
    received = await (await proxy(APIS)).post(b"stream Hi", path=TOY)
    assert "".join(line.removeprefix("data: +") for line in lines(received)[:-2]) == "Hello Bob"
    assert lines(received)[-2:] == ["data: .stop", "data: bye"]
    assert received.headers["content-type"].startswith("text/event-stream")
    assert received.headers["x-toy-request"] == received.headers["x-request-id"]


async def test_it_is_sent_whole(agent: Agent, proxy: StartProxy) -> None:
    agent.replies("/send", Reply(HELLO))
    assert (await (await proxy(APIS)).post(b"Hi", path=TOY)).body == b"Hello Bob"


@pytest.mark.parametrize("body", [b"stream Hi", b"Hi"])
async def test_a_run_that_fails_at_once_is_an_error_in_its_own_words(
    agent: Agent, proxy: StartProxy, body: bytes
) -> None:
    agent.replies("/send", Reply([failure("rate limit")]))
    received = await (await proxy(APIS)).post(body, path=TOY)
    assert (received.status, received.body) == (429, b"!rate_limit_exceeded")
    assert received.headers["x-toy"] == "broken"


async def test_a_run_that_fails_behind_its_first_words_ends_in_its_own_words(agent: Agent, proxy: StartProxy) -> None:
    agent.replies("/send", Reply([b"".join([*run("Hello")[:-2]])]))
    received = await (await proxy(APIS)).post(b"stream Hi", path=TOY)
    assert lines(received) == ["data: +Hello", "data: !upstream_interrupted"]


async def test_what_it_cannot_read_it_refuses_itself(proxy: StartProxy) -> None:
    received = await (await proxy(APIS)).post(b"", path=TOY)
    assert (received.status, received.body) == (400, b"!silence")


async def test_what_never_reaches_its_handler_is_answered_in_its_words(proxy: StartProxy) -> None:
    front = await proxy(APIS, api_key=("secret",))
    received = await front.post(b"Hi", path=TOY)
    assert (received.status, received.headers["x-toy"]) == (401, "broken")


@pytest.mark.parametrize("body", [b"stream Hi", b"Hi"])
async def test_two_requests_with_one_idempotency_key_are_one_run(agent: Agent, proxy: StartProxy, body: bytes) -> None:
    agent.replies("/send", Reply(HELLO))
    front = await proxy(APIS)
    post = front.post(body, path=TOY, headers={"Idempotency-Key": "k"})
    again = front.post(body, path=TOY, headers={"Idempotency-Key": "k"})
    first, second = await asyncio.gather(post, again)
    assert first.body == second.body
    assert b"Bob" in first.body
    assert len(agent.runs) == 1


async def test_a_recording_of_it_is_translated_again_by_the_same_pipeline(
    agent: Agent, proxy: StartProxy, tmp_path: Path
) -> None:
    agent.replies("/send", Reply(HELLO))
    received = await (await proxy(APIS, record=str(tmp_path), record_raw=True)).post(b"stream Hi", path=TOY)
    recording = await first_recording(tmp_path)
    assert recording.options.api == "toy"
    assert recording.bytes_of("client") == received.body
    pipeline = Pipeline(ToyApi(), recording.options, Envelope("toy-1", 0, "default"))
    pipeline.feed(recording.bytes_of("native"))
    assert pipeline.finish().data == received.body


async def test_its_own_routes_read_and_delete_what_is_stored(agent: Agent, proxy: StartProxy) -> None:
    agent.replies("/send", Reply(HELLO))
    front = await proxy(APIS)
    await front.post(b"Hi", path=TOY)
    assert (await front.get(f"{TOY}/last?and=!")).body == b"said!"
    assert (await front.request("DELETE", f"{TOY}/last")).body == b"said"
    missing = await front.get(f"{TOY}/last")
    assert (missing.status, missing.body, missing.headers["x-toy"]) == (404, b"!forgotten", "broken")


async def test_its_own_routes_are_refused_in_its_words(proxy: StartProxy) -> None:
    front = await proxy(APIS, api_key=("secret",))
    received = await front.get(f"{TOY}/last")
    assert (received.status, received.headers["x-toy"]) == (401, "broken")


async def test_shared_paths_answer_in_the_words_of_the_asking_api(proxy: StartProxy, agent: Agent) -> None:
    agent.replies("/invoke", answer({"apps": [{"id": "owl"}]}))
    front = await proxy(APIS)
    assert (await front.request("GET", "/v1/models", headers={"x-toy": "1"})).body == b"owl\ndefault"
    assert b'"object":"list"' in (await front.request("GET", "/v1/models")).body
    assert (await front.request("GET", "/v1/models/x", headers={"x-toy": "1"})).body == b"!model_not_found"
