"""Nothing that is secret appears in what is logged, answered or shown about health: through every way to fail.

Secret are the clients' keys (right and wrong), their hashes, the gateway's token, what people ask and what agents
answer.
"""

from __future__ import annotations

import hashlib
import json
import logging
import sys
from pathlib import Path

import pytest

from oaicompat_proxy.server.access import authenticator as callers
from tests.support.processes import Child, stopping
from tests.support.proxy import CHAT, Proxy, Received, StartProxy, chat_body
from tests.support.scripted_gateway import LAST_WORD, OPENING, Agent, Choice, Reply, answer, failure, text

KEY = "sk-right-b7Wq93"
WRONG = "sk-wrong-x8Zt41"
TOKEN = "gateway-token-n5Rk77"
PROMPT = "prompt-of-somebody-k2Lm60"
SAID = "what-the-agent-said-j4Hf25"
HASH = hashlib.sha256(KEY.encode()).hexdigest()
SECRETS = (KEY, WRONG, TOKEN, PROMPT, HASH, *(part[-6:] for part in (KEY, WRONG, TOKEN, PROMPT, SAID)))


def found(text: str) -> list[str]:
    return [secret for secret in SECRETS if secret in text]


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


ENDS: dict[str, list[Choice]] = {
    "refused with our token": [answer({"error": f"bad token {TOKEN}"}, status) for status in (401, 403, 404, 500)],
    "no stream": [answer({"error": TOKEN}, 200), Reply([TOKEN.encode()], content_type=TOKEN)],
    "no HTTP": [Reply([f"HTTP/1.1 {TOKEN}\r\n\r\n".encode(), "cut"], framing="raw")],
    "cut": [Reply([*OPENING, "cut"]), Reply([*OPENING, "reset"])],
    "the gateway quotes our token": [
        Reply([*OPENING, failure(f"call with {TOKEN} failed, as did {TOKEN}"), LAST_WORD]),
        Reply([*OPENING, text("Well. "), failure(f"call with {TOKEN} failed")]),
    ],
    "no JSON": [Reply([*OPENING, f"data: {{{SAID}\n\n".encode(), "cut"])],
}


async def everything_that_is_refused(front: Proxy) -> list[Received]:
    """With a secret wherever one can stand."""
    bodies = [
        PROMPT.encode(),
        b"{",
        b'{"model": "default", "messages": "%s"}' % PROMPT.encode(),
        json.dumps({"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": PROMPT}]}]}).encode(),
        chat_body(PROMPT, n=2),
        chat_body(PROMPT, temperature=PROMPT),
        chat_body(PROMPT, stream_options={PROMPT: PROMPT}, stream=False),
        chat_body(PROMPT, model="a:b"),
        chat_body(PROMPT, tools=PROMPT),
    ]
    received = [await front.post(body, headers=bearer(key)) for body in bodies for key in (KEY, WRONG)]
    for headers in (
        {},
        bearer(WRONG),
        {"x-api-key": WRONG},
        {"Authorization": WRONG},
        {"Authorization": f"Basic {WRONG}"},
    ):
        received.append(await front.post(chat_body(PROMPT), headers=headers))
        received.append(await front.request("GET", f"/v1/models?key={KEY}", headers=headers))
        received.append(await front.request("OPTIONS", CHAT, headers=headers))
        received.append(await front.request("GET", "/healthz", headers=headers))
        received.append(await front.request("GET", "/readyz", headers=headers))
    paths = ("/v1/nope", "/nope", "/v1/models/nope", CHAT)
    return received + [await front.request("DELETE", f"{path}?key={KEY}", headers=bearer(KEY)) for path in paths]


async def broken_requests(front: Proxy) -> str:
    """Bytes that are not HTTP/1.1."""
    output = b""
    for request in (
        f"GET /{KEY} HTTP/9.9\r\n\r\n",
        f"GET / HTTP/1.1\r\nHost: localhost\r\nAuthorization {KEY}\r\n\r\n",
        f"GET / HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {KEY * 2000}\r\n\r\n",
        f"POST {CHAT} HTTP/1.1\r\nHost: localhost\r\n"
        f"Authorization: Bearer {KEY}\r\nTransfer-Encoding: chunked\r\n\r\n{PROMPT}",
        f"POST {CHAT} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {KEY}\r\nContent-Encoding: gzip\r\n"
        f"Content-Length: {len(PROMPT)}\r\n\r\n{PROMPT}",
    ):
        line = await front.dial()
        await line.send(request.encode())
        output += await line.read(65536)
        await line.close()
    return output.decode()


def shown(received: list[Received]) -> str:
    return "\n".join(f"{each.status} {dict(each.headers)} {each.body!r}" for each in received)


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("passes", [False, True])
async def test_no_way_to_fail_shows_a_secret(
    proxy: StartProxy,
    agent: Agent,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    end: str,
    passes: bool,
) -> None:
    monkeypatch.setattr(callers, "CHECK_INTERVAL", 0.0)
    file = tmp_path / "keys.toml"
    file.write_text(f'[keys.ada]\nhash = "{HASH}"\n')
    with caplog.at_level(logging.DEBUG):
        front = await proxy(api_keys_file=str(file), upstream_token=TOKEN, pass_authorization=passes, body_timeout=0.5)
        received: list[Received] = []
        for choice in ENDS[end]:
            agent.replies("/send", choice)
            bodies = [chat_body(PROMPT, stream=stream) for stream in (True, False)]
            received += [await front.post(body, headers=bearer(KEY)) for body in bodies]
        received += await everything_that_is_refused(front)
        file.write_text(f'[keys.ada]\nhash = "{KEY}"\n')
        received.append(await front.request("GET", "/v1/models", headers=bearer(KEY)))
        broken = await broken_requests(front)
    assert len(received) > 40
    assert "keeping the previous keys" in caplog.text
    assert [record for record in caplog.records if record.name == "oaicompat_proxy.access"]
    assert found(shown(received)) == []
    assert found(broken) == []
    assert found(caplog.text) == []


async def test_a_full_house_and_a_used_up_limit_show_none(
    proxy: StartProxy, agent: Agent, caplog: pytest.LogCaptureFixture
) -> None:
    agent.plays(OPENING, "stall")
    with caplog.at_level(logging.DEBUG):
        front = await proxy(api_key=(KEY,), max_runs=1, queue_wait=0, requests_per_minute=2)
        line = await front.dial()
        await line.post(chat_body(PROMPT), headers=[f"Authorization: Bearer {KEY}"])
        await agent.until(lambda: agent.runs)
        received = [await front.post(chat_body(PROMPT), headers=bearer(KEY)) for _ in range(2)]
        await line.close()
    assert [each.status for each in received] == [503, 429]
    assert found(shown(received)) == []
    assert found(caplog.text) == []


def test_a_process_says_none_at_any_start(tmp_path: Path) -> None:
    file = tmp_path / "keys.toml"
    file.write_text(f'[keys.ada]\nhash = "{KEY}"\n')
    starts = [
        ["--api-keys-file", str(file)],
        ["--api-key", KEY, "--api-key", KEY],
        ["--api-key", KEY, "--no-auth"],
        ["--api-key", KEY, "--log-level", "debug"],
    ]
    for flags in starts:
        command = [sys.executable, "-m", "oaicompat_proxy", "--demo", "--port", "0", *flags]
        with stopping(Child(*command)) as child:
            output = child.wait_for(r"(?s).*(Error: .*\n|  try  .*\n)")[0]
        assert found(output) == []
        assert "Traceback" not in output
