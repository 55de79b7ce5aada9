"""What front ends ask beside a conversation, socket to socket: without a run, by another model, or as any request."""

from __future__ import annotations

import asyncio
import json
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from tests.support.conformance import check_body, check_stream
from tests.support.messages_conformance import check_message_body
from tests.support.proxy import Proxy, StartProxy, chat_body
from tests.support.scripted_gateway import OPENING, Agent, closing, run

TITLE_PROMPT = (
    "### Task:\nGenerate a concise, 3-5 word title with an emoji summarizing the chat history.\n### Output:\n"
    'JSON format: { "title": "your concise title here" }\n### Chat History:\n'
    "<chat_history>\nUSER: When is high tide?\nASSISTANT: At 06:12.\n</chat_history>"
)
TITLE = '{"title": "When is high tide?"}'
NAMED = {"X-Session-Id": "harbor"}


async def metrics_of(front: Proxy) -> str:
    return (await front.get("/metrics")).body.decode()


@pytest.mark.parametrize("stream", [True, False])
async def test_a_title_needs_no_run(proxy: StartProxy, agent: Agent, stream: bool) -> None:
    front = await proxy(side_requests="answer")
    answer = await front.post(chat_body(TITLE_PROMPT, stream=stream), headers=NAMED)
    received = check_stream(answer.body, include_usage=False) if stream else check_body(answer.body)
    assert (answer.status, received.text, received.finish_reason) == (200, TITLE, "stop")
    assert agent.runs == []
    assert 'oaicompat_side_requests_total{kind="title"} 1.0' in await metrics_of(front)


async def test_it_does_not_wait_for_the_run_of_its_session(proxy: StartProxy, agent: Agent) -> None:
    gate = asyncio.Event()
    agent.plays(*OPENING, gate, *closing())
    front = await proxy(side_requests="answer", max_runs=1, max_waiting=0)
    conversation = asyncio.create_task(front.post(chat_body(), headers=NAMED))
    await agent.until(lambda: agent.runs)
    agent.kept_sessions.add(agent.runs[0].session)
    assert (await front.post(chat_body(TITLE_PROMPT, stream=False), headers=NAMED)).status == 200
    assert not conversation.done()
    gate.set()
    assert (await conversation).status == 200


@pytest.mark.parametrize("path", ["/v1/responses", "/v1/messages"])
async def test_other_apis_have_the_same_answer(proxy: StartProxy, agent: Agent, path: str) -> None:
    messages = [{"role": "user", "content": TITLE_PROMPT}]
    body = {"input": messages} if path == "/v1/responses" else {"messages": messages, "max_tokens": 1000}
    front = await proxy(side_requests="answer")
    answer = await front.post(json.dumps({"model": "default", **body}).encode(), path=path)
    assert answer.status == 200
    assert json.dumps(TITLE)[1:-1] in answer.body.decode()
    assert agent.runs == []


@pytest.mark.parametrize("fields", [{}, {"side_requests": "run"}])
async def test_by_default_it_runs(proxy: StartProxy, agent: Agent, fields: dict[str, Any]) -> None:
    agent.plays(run("Tides"))
    front = await proxy(**fields)
    answer = await front.post(chat_body(TITLE_PROMPT, stream=False))
    assert check_body(answer.body).text == "Tides"
    assert "oaicompat_side_requests_total{" not in await metrics_of(front)


async def test_another_model_runs_in_a_session_of_its_own(proxy: StartProxy, agent: Agent) -> None:
    agent.plays(run("Tides"))
    front = await proxy(side_requests="model:small", model={"small": "small-app", "default": ""})
    await front.post(chat_body("Hi"), headers=NAMED)
    answer = await front.post(chat_body(TITLE_PROMPT, stream=False), headers=NAMED)
    assert check_body(answer.body).text == "Tides"
    assert json.loads(answer.body)["model"] == "small"
    first, second = agent.runs
    assert second.session.startswith("small-app:")
    assert first.session.partition(":")[2] != second.session.partition(":")[2]
    agent.kept_sessions.add(first.session)


async def test_a_health_check_is_answered_in_one_word(proxy: StartProxy, agent: Agent) -> None:
    front = await proxy(side_requests="answer")
    assert check_body((await front.post(chat_body("ping", stream=False, max_tokens=1))).body).text == "OK"
    body = {"model": "default", "max_tokens": 1, "messages": [{"role": "user", "content": "quota"}]}
    answer = await front.post(json.dumps(body).encode(), path="/v1/messages")
    assert check_message_body(answer.body).text == "OK"
    assert agent.runs == []


async def test_it_counts_for_no_budget(proxy: StartProxy, agent: Agent, tmp_path: Path) -> None:
    agent.plays(run("Hello"))
    keys = tmp_path / "keys.toml"
    keys.write_text(f'[keys.app]\nhash = "{sha256(b"sk-app").hexdigest()}"\nbudget = {{ runs_per_day = 1 }}\n')
    front = await proxy(side_requests="answer", api_keys_file=str(keys))
    for prompt, status in [(TITLE_PROMPT, 200), (TITLE_PROMPT, 200), ("Hi", 200), ("Hi", 429)]:
        answer = await front.post(chat_body(prompt), headers={"Authorization": "Bearer sk-app"})
        assert answer.status == status


async def test_a_model_may_differ(proxy: StartProxy, agent: Agent) -> None:
    agent.plays(run("Tides"))
    front = await proxy(model_setting={"default:side_requests": "answer"}, model={"default": "", "owl": "owl"})
    assert check_body((await front.post(chat_body(TITLE_PROMPT, stream=False))).body).text == TITLE
    answer = await front.post(chat_body(TITLE_PROMPT, stream=False, model="owl"))
    assert check_body(answer.body).text == "Tides"
