"""The doctor's look at who may call: a real proxy, a real nginx, and an identity provider of each kind."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from yarl import URL

from oaicompat_proxy.commands.doctor.access_checks import check_access
from oaicompat_proxy.commands.doctor.finding import Finding
from oaicompat_proxy.commands.doctor.probe import Probe
from oaicompat_proxy.config.settings import Config
from oaicompat_proxy.server.app import create_app
from oaicompat_proxy.server.process.serve import listening
from tests.support.issuer import CONFIGURATION, Issuer, SigningKey, serving_issuer, sso_settings
from tests.support.processes import nginx

KEY = "sk-doctor"
ENTRY = f'[keys.app]\nhash = "{hashlib.sha256(KEY.encode()).hexdigest()}"\n'


@pytest.fixture
async def issuer() -> AsyncIterator[Issuer]:
    async with serving_issuer() as there:
        yield there


async def found_by(**settings: Any) -> dict[str, Finding]:
    """By their checks."""
    config = Config(upstream="http://127.0.0.1:9", port=0, **settings)
    async with listening(create_app(config), config) as port:
        probe = Probe(URL(f"http://127.0.0.1:{port}/v1"), {"Authorization": f"Bearer {KEY}"})
        probe.server_name = "oaicompat-proxy"
        return {each.check: each for each in await check_access(probe)}


def with_entry(path: Path, more: str = "") -> dict[str, Any]:
    file = path / "keys.toml"
    file.write_text(ENTRY + more)
    return {"api_keys_file": str(file)}


async def test_without_users_tokens_and_budgets_there_is_nothing_to_say() -> None:
    assert await found_by() == {}


async def test_an_identity_provider_that_answers_is_named_with_its_algorithms(issuer: Issuer) -> None:
    issuer.keys.append(SigningKey("e", "ES256").jwk())
    found = (await found_by(api_key=(KEY,), **sso_settings(issuer)))["identity provider"]
    assert (found.level, found.fix) == ("ok", "")
    assert "2 keys" in found.text
    assert "ES256" in found.text
    assert "RS256" in found.text


@pytest.mark.parametrize("how", ["down", "no keys", "elsewhere"])
async def test_one_that_cannot_be_used_is_a_problem(issuer: Issuer, how: str) -> None:
    issuer.is_down = how == "down"
    issuer.jwks = b'{"keys": []}' if how == "no keys" else None
    issuer.configuration = {"issuer": "https://evil.example"} if how == "elsewhere" else {}
    found = (await found_by(api_key=(KEY,), **sso_settings(issuer)))["identity provider"]
    assert found.level == "bad"
    assert "--jwt-issuer" in found.fix
    assert {"down": "status 503", "no keys": "no key", "elsewhere": CONFIGURATION}[how] in found.text


async def test_a_header_that_nobody_is_believed_about_is_a_problem(tmp_path: Path) -> None:
    settings = {"user_from": ("header:X-User",)}
    assert (await found_by(**with_entry(tmp_path), **settings))["users"].level == "warn"
    other = with_entry(tmp_path, "[keys.front]\nhash = " + f'"{"0" * 64}"\ntrusts_headers = true\n')
    assert (await found_by(**other, **settings))["users"].level == "ok"
    assert (await found_by(**settings, trust_user_from=("10.0.0.0/8",)))["users"].level == "ok"
    assert (await found_by(**settings, trust_user_from=("127.0.0.1",)))["users"].level == "note"


@pytest.mark.slow
@pytest.mark.parametrize(("spoilt", "level"), [(False, "ok"), (True, "bad")])
async def test_nginx_clears_the_user_header_of_clients(spoilt: bool, level: str) -> None:
    config = Config(
        upstream="http://127.0.0.1:9",
        port=0,
        no_auth=True,
        user_from=("header:X-User",),
        trust_user_from=("127.0.0.1",),
    )
    instead = {'proxy_set_header X-User "";': ""} if spoilt else None
    async with listening(create_app(config), config) as port:
        with nginx(port, instead=instead) as base:
            probe = Probe(URL(base) / "v1", {})
            probe.server_name = "nginx"
            (found,) = await check_access(probe)
    assert found.level == level
    assert found.fix == ('nginx: proxy_set_header X-User "";' if spoilt else "")


async def test_workers_that_count_alone_are_a_problem(tmp_path: Path) -> None:
    counted = with_entry(tmp_path, "budget = { runs_per_day = 5 }\n")
    found = (await found_by(**counted, workers=3))["budgets"]
    assert (found.level, found.fix) == ("warn", "oaicompat-proxy: --redis URL")
    assert "3 times" in found.text
    assert (await found_by(**counted))["budgets"].level == "note"
    assert (await found_by(**with_entry(tmp_path), workers=3)) == {}
