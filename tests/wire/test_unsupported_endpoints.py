"""Endpoints of OpenAI's API that are not served: the error names the alternatives, and nothing is run."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import openai
import pytest

from tests.support.conformance import check_error_body
from tests.support.proxy import CHAT, Received, StartProxy, chat_body
from tests.support.scripted_gateway import Agent, answer, run

SERVED = ["/chat/completions", "/completions", "/responses", "/models"]

ENDPOINTS = [
    ("POST", "/embeddings"),
    ("POST", "/images/generations"),
    ("POST", "/images/edits"),
    ("POST", "/images/variations"),
    ("POST", "/audio/speech"),
    ("POST", "/audio/transcriptions"),
    ("POST", "/audio/translations"),
    ("POST", "/moderations"),
    ("POST", "/edits"),
    ("GET", "/files"),
    ("POST", "/files"),
    ("GET", "/files/file-1/content"),
    ("POST", "/uploads"),
    ("POST", "/batches"),
    ("GET", "/batches"),
    ("POST", "/fine_tuning/jobs"),
    ("GET", "/vector_stores"),
    ("POST", "/assistants"),
    ("POST", "/threads"),
    ("POST", "/threads/thread_1/runs"),
    ("POST", "/containers"),
    ("POST", "/evals"),
    ("POST", "/videos"),
    ("POST", "/realtime/sessions"),
    ("GET", "/realtime"),
    ("POST", "/engines/davinci/completions"),
    ("GET", "/engines"),
    ("GET", "/chat/completions/chatcmpl-1"),
    ("POST", "/chat/completions/chatcmpl-1"),
    ("DELETE", "/chat/completions/chatcmpl-1"),
    ("GET", "/chat/completions/chatcmpl-1/messages"),
]


def refused(received: Received, method: str, path: str) -> dict[str, Any]:
    """The error of a 404 that names the requested endpoint and the existing ones."""
    error = check_error_body(received.body)
    assert received.status == 404
    assert received.headers["Content-Type"] == "application/json"
    assert (error["type"], error["param"]) == ("invalid_request_error", None)
    assert f"{method} {path}" in error["message"]
    return error


@pytest.mark.parametrize(("method", "path"), ENDPOINTS)
async def test_an_endpoint_that_is_not_served_says_what_is(
    proxy: StartProxy, agent: Agent, method: str, path: str
) -> None:
    body = chat_body() if method == "POST" else None
    received = await (await proxy()).request(method, f"/v1{path}", data=body)
    error = refused(received, method, f"/v1{path}")
    assert error["code"] is None
    assert error["message"].startswith(f"Invalid URL ({method} /v1{path})")
    assert all(f"/v1{each}" in error["message"] for each in SERVED)
    assert agent.exchanges == []


CALLS: dict[str, Callable[[openai.AsyncOpenAI], Any]] = {
    "embeddings": lambda client: client.embeddings.create(model="owl", input="Hi"),
    "images": lambda client: client.images.generate(prompt="An owl"),
    "speech": lambda client: client.audio.speech.create(model="owl", voice="alloy", input="Hi"),
    "transcriptions": lambda client: client.audio.transcriptions.create(model="owl", file=b"RIFF"),
    "moderations": lambda client: client.moderations.create(input="Hi"),
    "files": lambda client: client.files.list(),
    "uploads": lambda client: client.files.create(file=b"{}", purpose="batch"),
    "batches": lambda client: client.batches.retrieve("batch_1"),
    "fine tuning": lambda client: client.fine_tuning.jobs.retrieve("job_1"),
    "a stored completion": lambda client: client.chat.completions.retrieve("chatcmpl-1"),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
async def test_the_official_client_gets_the_error(
    proxy: StartProxy, agent: Agent, call: Callable[[openai.AsyncOpenAI], Any]
) -> None:
    front = await proxy()
    async with openai.AsyncOpenAI(base_url=f"{front.base}/v1", api_key="k", max_retries=0) as client:
        with pytest.raises(openai.NotFoundError, match="This server has /v1/chat/completions"):
            await call(client)
    assert agent.exchanges == []


async def test_stored_completions_cannot_be_listed(proxy: StartProxy, agent: Agent) -> None:
    """The address is that of new ones, so it is the method that is wrong."""
    received = await (await proxy()).get(CHAT)
    error = check_error_body(received.body)
    assert (received.status, received.headers["Allow"]) == (405, "POST")
    assert (error["code"], error["message"]) == ("method_not_supported", "Only POST requests are accepted.")


async def test_a_model_cannot_be_deleted(proxy: StartProxy, agent: Agent) -> None:
    received = await (await proxy()).request("DELETE", "/v1/models/owl")
    assert (received.status, received.headers["Allow"]) == (405, "GET, HEAD")
    assert check_error_body(received.body)["code"] == "method_not_supported"


@pytest.mark.parametrize("path", ["/chat/completions/", "/completions/", "/models/"])
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_a_slash_at_the_end_is_another_address_and_no_redirect(
    proxy: StartProxy, agent: Agent, path: str, method: str
) -> None:
    """Clients follow a redirect of POST with GET, or not at all."""
    body = chat_body() if method == "POST" else None
    received = await (await proxy()).request(method, f"/v1{path}", data=body, allow_redirects=False)
    assert refused(received, method, f"/v1{path}")["code"] is None
    assert "Location" not in received.headers
    assert agent.exchanges == []


@pytest.mark.parametrize(
    "path",
    [
        "/chat/completions",
        "/completions",
        "/models",
        "/v2/chat/completions",
        "/v1beta/chat/completions",
        "/v1chat/completions",
        "/V1/chat/completions",
        "/api/chat",
        "/api/v1/chat/completions",
        "/openai/deployments/owl/chat/completions",
        "/v1",
        "/",
        "//v1/chat/completions",
    ],
)
async def test_a_wrong_beginning_is_taken_for_a_slip_of_the_pen(proxy: StartProxy, agent: Agent, path: str) -> None:
    front = await proxy()
    line = await front.dial()
    await line.post(chat_body(), path=path, headers=["Connection: close"])
    status, headers = await line.read_head()
    error = check_error_body(await line.read_to_end())
    assert (status, headers["content-type"]) == (404, "application/json")
    assert (error["type"], error["code"]) == ("invalid_request_error", "unknown_url")
    assert error["message"].startswith(f"Unknown request URL: POST {path}. Please check the URL for typos.")
    assert "/v1/chat/completions" in error["message"]
    assert agent.exchanges == []


async def test_a_doubled_beginning_is_under_the_right_one(proxy: StartProxy) -> None:
    """As it happens to those who give /v1 twice."""
    received = await (await proxy()).post(chat_body(), path="/v1/v1/chat/completions")
    assert refused(received, "POST", "/v1/v1/chat/completions")["code"] is None


@pytest.mark.parametrize("prefix", ["", "/llm/v1", "/a/b/c"])
async def test_another_prefix_moves_everything_and_is_printed(proxy: StartProxy, agent: Agent, prefix: str) -> None:
    agent.plays(run("Hello"))
    agent.replies("/invoke", answer({"apps": [{"id": "owl"}]}))
    front = await proxy(prefix=prefix)
    assert (await front.post(chat_body(), path=f"{prefix}/chat/completions")).status == 200
    assert (await front.post(b'{"prompt": "Hi"}', path=f"{prefix}/completions")).status == 200
    assert (await front.get(f"{prefix}/models/owl")).status == 200
    for path in ("/embeddings", "/v2/embeddings"):
        received = await front.post(b"{}", path=prefix + path)
        message = check_error_body(received.body)["message"]
        assert received.status == 404
        assert all(f" {prefix}{each}" in message for each in SERVED)
    if prefix:
        assert (await front.post(chat_body())).status == 404
    assert (await front.get("/healthz")).status == 200, "whoever supervises the process knows no prefix"


@pytest.mark.parametrize(
    "path",
    [
        "/v1/%65mbeddings",
        "/v1/embeddings?api-version=1",
        "/v1/%F0%9F%A6%89",
        "/v1/%e2%80%a8%c2%85",
        "/v1/%00%0d%0aSet-Cookie:%20a=b",
        "/v1/%ff%fe",
        "/v1/%",
        "/v1/<script>alert(1)</script>",
        "/v1/" + "x" * 5000,
        "/v1/../../etc/passwd",
        "/v1/chat%2Fcompletions",
    ],
    ids=lambda path: path[:30],
)
async def test_an_odd_address_is_quoted_safely(proxy: StartProxy, agent: Agent, path: str) -> None:
    line = await (await proxy()).dial()
    await line.send(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
    status, headers = await line.read_head()
    body = await line.read_to_end()
    assert (status, headers["content-type"]) in [(404, "application/json"), (405, "application/json")]
    assert len(check_error_body(body)["message"]) < 500
    assert "set-cookie" not in headers
    assert json.loads(body)["error"]["type"] == "invalid_request_error"
