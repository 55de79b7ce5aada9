"""The rights of a token's bearer, socket to socket: key, limits, models, user."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from oaicompat_proxy.config.settings import Config, ConfigError
from oaicompat_proxy.server.context import SERVER
from oaicompat_proxy.server.single_sign_on import issuer_keys, single_sign_on, tokens
from tests.support.issuer import JWKS, Issuer, SigningKey, serving_issuer, sso_settings
from tests.support.proxy import Proxy, Received, StartProxy, chat_body
from tests.support.scripted_gateway import Agent, run


@pytest.fixture
async def issuer() -> AsyncIterator[Issuer]:
    async with serving_issuer() as there:
        yield there


async def ask(front: Proxy, token: str, **fields: Any) -> Received:
    return await front.post(chat_body(**fields), headers={"Authorization": f"Bearer {token}"})


def keys_file(path: Path, text: str) -> str:
    file = path / "keys.toml"
    file.write_text(text)
    return str(file)


async def test_tokens_are_accepted_beside_keys(proxy: StartProxy, agent: Agent, issuer: Issuer) -> None:
    agent.plays(run("Hello"))
    front = await proxy(api_key=("sk-1",), **sso_settings(issuer))
    statuses = [(await ask(front, key)).status for key in (issuer.token(), "sk-1", "sk-2", "sk.2.3", "")]
    assert statuses == [200, 200, 401, 401, 401]


async def test_an_api_key_never_costs_a_look_at_the_issuer(proxy: StartProxy, agent: Agent, issuer: Issuer) -> None:
    agent.plays(run("Hello"))
    front = await proxy(api_key=("ey.1.2",), **sso_settings(issuer))
    assert (await ask(front, "ey.1.2")).status == 200
    assert issuer.fetches == {}


@pytest.mark.parametrize(
    ("setting", "claims", "name"),
    [
        ("", {"azp": "web", "client_id": "other"}, "web"),
        ("", {"azp": None, "client_id": "web"}, "web"),
        ("team", {"team": "blue"}, "blue"),
    ],
)
async def test_a_claim_names_the_key(
    proxy: StartProxy, agent: Agent, issuer: Issuer, tmp_path: Path, setting: str, claims: dict[str, Any], name: str
) -> None:
    agent.plays(run("Hello"))
    keys = keys_file(tmp_path, f'[keys.{name}]\nrequests_per_minute = 7\nmodels = ["gpt-*"]\n')
    front = await proxy(
        api_keys_file=keys, model={"gpt-4o": "x", "other": "x"}, **sso_settings(issuer, jwt_key_claim=setting)
    )
    received = await ask(front, issuer.token(**claims), model="gpt-4o")
    assert received.headers["x-ratelimit-limit-requests"] == "7"
    assert received.status == 200
    assert (await ask(front, issuer.token(**claims), model="other")).status == 404


async def test_a_token_shares_what_its_key_has(proxy: StartProxy, agent: Agent, issuer: Issuer, tmp_path: Path) -> None:
    agent.plays(run("Hello"))
    digest = hashlib.sha256(b"sk-1").hexdigest()
    front = await proxy(api_keys_file=keys_file(tmp_path, f'[keys.web]\nhash = "{digest}"\n'), **sso_settings(issuer))
    for key in (issuer.token(), "sk-1", issuer.token(azp="app")):
        headers = {"Authorization": f"Bearer {key}", "Idempotency-Key": "once"}
        assert (await front.post(chat_body(), headers=headers)).status == 200
    assert len(agent.runs) == 2


@pytest.mark.parametrize(
    ("claims", "statuses"),
    [
        ({"models": ["gpt-*"]}, [200, 404]),
        ({"models": "other gpt-4o"}, [200, 404]),
        ({"models": ["other"]}, [404, 404]),
        ({"models": []}, [404, 404]),
        ({"models": {"gpt-4o": 1}}, [404, 404]),
        ({}, [404, 404]),
    ],
)
async def test_a_token_may_use_what_both_its_claim_and_its_key_allow(
    proxy: StartProxy, agent: Agent, issuer: Issuer, tmp_path: Path, claims: dict[str, Any], statuses: list[int]
) -> None:
    agent.plays(run("Hello"))
    keys = keys_file(tmp_path, '[keys.web]\nmodels = ["gpt-*"]\n')
    settings = sso_settings(issuer, jwt_models_claim="models", model={"gpt-4o": "x", "other": "x"})
    front = await proxy(api_keys_file=keys, **settings)
    found = [(await ask(front, issuer.token(**claims), model=model)).status for model in ("gpt-4o", "other")]
    assert found == statuses
    headers = {"Authorization": f"Bearer {issuer.token(**claims)}"}
    listed = json.loads((await front.request("GET", "/v1/models", headers=headers)).body)["data"]
    assert [each["id"] for each in listed] == ["gpt-4o"] * (statuses[0] == 200)


async def test_the_user_is_a_claim_and_nothing_else_can_say_otherwise(
    proxy: StartProxy, agent: Agent, issuer: Issuer
) -> None:
    agent.plays(run("Hello"))
    settings = sso_settings(issuer, user_from=("user", "header:X-User", "jwt:sub"), trust_user_from=("127.0.0.1",))
    front = await proxy(api_key=("sk-1",), **settings)
    asks = [
        (issuer.token(), "mallory"),
        (issuer.token(), ""),
        (issuer.token(sub=None), ""),
        ("sk-1", ""),
    ]
    for key, header in asks:
        headers = {"Authorization": f"Bearer {key}", **({"X-User": header} if header else {})}
        assert (await front.post(chat_body(user="mallory"), headers=headers)).status == 200
    assert [each.json.get("metadata") for each in agent.runs] == [
        {"user": "ada"},
        {"user": "ada"},
        None,
        {"user": "mallory"},
    ]


async def test_a_rotated_key_is_found_and_a_down_issuer_is_a_503(
    proxy: StartProxy, agent: Agent, issuer: Issuer
) -> None:
    agent.plays(run("Hello"))
    issuer.is_down = True
    front = await proxy(**sso_settings(issuer))
    received = await ask(front, issuer.token())
    assert (received.status, json.loads(received.body)["error"]["code"]) == (503, "issuer_unavailable")
    assert received.headers["retry-after"] == "5"
    assert issuer.fetches[JWKS] == 0


async def test_the_token_is_passed_on_if_it_is_to_be(proxy: StartProxy, agent: Agent, issuer: Issuer) -> None:
    agent.plays(run("Hello"))
    token = issuer.token()
    front = await proxy(pass_authorization=True, **sso_settings(issuer))
    assert (await ask(front, token)).status == 200
    assert agent.runs[0].headers["authorization"] == f"Bearer {token}"


@pytest.mark.parametrize(
    ("settings", "error"),
    [
        ({"jwt_issuer": "https://a"}, "--jwt-issuer needs --jwt-audience"),
        ({"jwt_audience": ("a",)}, "need --jwt-issuer"),
        ({"user_from": ("jwt:sub",)}, "need --jwt-issuer"),
        ({"jwt_issuer": "unix:/a", "jwt_audience": ("a",)}, "--jwt-issuer must be an http"),
        ({"jwt_issuer": "https://a", "jwt_audience": ("a",), "no_auth": True}, "choose between keys and --no-auth"),
    ],
)
def test_settings_that_judge_no_token_are_refused(settings: dict[str, Any], error: str) -> None:
    with pytest.raises(ConfigError, match=error):
        Config(demo=True, **settings)


@pytest.mark.parametrize("mail", [["ada"], {"name": "ada"}, 7, True, None, ""])
async def test_a_claim_that_is_no_text_names_nobody(proxy: StartProxy, agent: Agent, issuer: Issuer, mail: Any) -> None:
    agent.plays(run("Hello"))
    front = await proxy(user_from=("jwt:email", "user"), **sso_settings(issuer))
    assert (await ask(front, issuer.token(email=mail), user="mallory")).status == 200
    assert "metadata" not in agent.runs[-1].json


NAMES = {
    "x" * 257: 401,
    "x" * 5000: 401,
    "\ud800": 401,
    "\udcc3\udca9": 401,
    "a\nrun b=\x1b[31m": 200,
    "é\0": 200,
}


@pytest.mark.parametrize(("sub", "status"), NAMES.items(), ids=map(ascii, NAMES))
async def test_a_user_of_any_letters_breaks_nothing(
    proxy: StartProxy, agent: Agent, issuer: Issuer, caplog: pytest.LogCaptureFixture, sub: str, status: int
) -> None:
    agent.plays(run("Hello"))
    front = await proxy(user_from=("jwt:sub",), log_users="plain", max_line=16_000, **sso_settings(issuer))
    with caplog.at_level("INFO"):
        assert (await ask(front, issuer.token(sub=sub))).status == status
        await front.hang_up()
    assert all("\n" not in each.getMessage() and "\x1b" not in each.getMessage() for each in caplog.records)


@pytest.mark.parametrize("models", [[["x"], "demo", 7, None], {"demo": True}, "other demo", [{"demo": 1}]])
async def test_models_of_any_form_grant_only_what_they_name(
    proxy: StartProxy, agent: Agent, issuer: Issuer, models: Any
) -> None:
    agent.plays(run("Hello"))
    front = await proxy(jwt_models_claim="models", **sso_settings(issuer))
    granted = "demo" in models if isinstance(models, (list, str)) else False
    status = (await ask(front, issuer.token(models=models), model="demo")).status
    assert status == (200 if granted else 404)


async def test_a_token_is_verified_once_for_each_key(
    proxy: StartProxy, agent: Agent, issuer: Issuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An accepted token is refused as soon as it expires, or its key has left the set."""
    agent.plays(run("Hello"))
    verified: list[str] = []
    verify = single_sign_on.verify

    def counted(token: str, *more: Any, **named: Any) -> Any:
        verified.append(token)
        return verify(token, *more, **named)

    monkeypatch.setattr(single_sign_on, "verify", counted)
    front = await proxy(**sso_settings(issuer))
    token, brief = issuer.token(), issuer.token(exp=int(time.time()) + 100)
    assert [(await ask(front, each)).status for each in (token, brief, token, brief)] == [200] * 4
    assert verified == [token, brief]
    now = time.time()
    monkeypatch.setattr(tokens, "time", SimpleNamespace(time=lambda: now + 101))
    assert [(await ask(front, each)).status for each in (token, brief)] == [200, 401]
    for module_name in ("REFRESH_AGE", "MAX_AGE"):
        monkeypatch.setattr(issuer_keys, module_name, 0.0)
    assert (await ask(front, token)).status == 200
    assert verified == [token, brief, token]
    issuer.keys = [SigningKey("k2").jwk()]
    assert (await ask(front, token)).status == 401


async def test_few_verified_tokens_are_kept(
    proxy: StartProxy, agent: Agent, issuer: Issuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(single_sign_on, "MAX_VERIFIED", 2)
    agent.plays(run("Hello"))
    front = await proxy(**sso_settings(issuer))
    for number in (*range(5), *range(5)):
        assert (await ask(front, issuer.token(sub=f"u{number}"))).status == 200
    sign_on = front.app[SERVER].single_sign_on
    assert sign_on is not None
    assert sign_on.verified == 2
