"""Permissions to list and delete the kept data of a caller, in each store, over a socket."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from oaicompat_proxy.server.access.api_keys import new_entry
from tests.support.conformance import check_error_body
from tests.support.proxy import Proxy, StartProxy
from tests.support.scripted_gateway import Agent, run

pytest_plugins = ["tests.support.proxy_fixtures"]

RESPONSES, KEPT = "/v1/responses", "/v1/kept_data"


def as_key(name: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {name}"}


@pytest.fixture
def keys(tmp_path: Path) -> str:
    file = tmp_path / "keys.toml"
    file.write_text(new_entry("ada", "ada") + new_entry("bob", "bob") + new_entry("root", "root") + "forget = true\n")
    return str(file)


def contents(folder: Path) -> list[bytes]:
    """Of the files of the database."""
    return [file.read_bytes() for file in folder.glob("responses.db*")]


async def answered(front: Proxy, key: str) -> str:
    body = json.dumps({"model": "default", "input": f"I am {key}"}).encode()
    received = await front.post(body, path=RESPONSES, headers=as_key(key))
    assert received.status == 200, received.body
    return str(json.loads(received.body)["id"])


async def kept(front: Proxy, method: str, key: str, name: str = "") -> Any:
    received = await front.request(method, KEPT + (f"?key={name}" if name else ""), headers=as_key(key))
    assert received.status == 200, received.body
    return json.loads(received.body)["kinds"]["stored_responses"]


async def status_of(front: Proxy, key: str, answer_id: str) -> int:
    return (await front.request("GET", f"{RESPONSES}/{answer_id}", headers=as_key(key))).status


async def test_all_of_one_key_is_deleted(
    proxy: StartProxy, agent: Agent, keys: str, store: dict[str, Any], tmp_path: Path
) -> None:
    agent.plays(run("Hello"))
    front = await proxy(api_keys_file=keys, **store)
    hers = [await answered(front, "ada") for _ in range(3)]
    his = await answered(front, "bob")
    assert await kept(front, "GET", "root", "ada") == 6
    assert await kept(front, "DELETE", "root", "ada") == 6
    assert [await status_of(front, "ada", each) for each in hers] == [404, 404, 404]
    assert await status_of(front, "bob", his) == 200
    assert await kept(front, "GET", "ada") == 0
    assert await kept(front, "DELETE", "bob") == 2
    assert all(b"I am ada" not in data for data in contents(tmp_path))


@pytest.mark.parametrize("method", ["GET", "DELETE"])
async def test_another_key_needs_permission(proxy: StartProxy, agent: Agent, keys: str, method: str) -> None:
    agent.plays(run("Hello"))
    front = await proxy(api_keys_file=keys)
    answer_id = await answered(front, "bob")
    refused = await front.request(method, f"{KEPT}?key=bob", headers=as_key("ada"))
    assert (refused.status, check_error_body(refused.body)["code"]) == (403, "permission_denied")
    assert (await front.request(method, KEPT, headers=as_key("nobody"))).status == 401
    assert await status_of(front, "bob", answer_id) == 200
    assert await kept(front, "DELETE", "bob", "bob") == 2


async def test_what_was_kept_of_a_key_that_is_gone(proxy: StartProxy, agent: Agent, tmp_path: Path) -> None:
    agent.plays(run("Hello"))
    file, store = tmp_path / "keys.toml", str(tmp_path / "responses.db")
    file.write_text(new_entry("ada", "ada"))
    await answered(await proxy(api_keys_file=str(file), response_db=store), "ada")
    file.write_text(new_entry("root", "root") + "forget = true\n")
    later = await proxy(api_keys_file=str(file), response_db=store)
    assert await kept(later, "DELETE", "root", "ada") == 2


async def test_keys_of_the_settings_have_names_too(proxy: StartProxy, agent: Agent, keys: str) -> None:
    agent.plays(run("Hello"))
    front = await proxy(api_key=("first",), api_keys_file=keys)
    await answered(front, "first")
    assert await kept(front, "DELETE", "root", "key-1") == 2


async def test_without_keys_each_caller_has_its_own(proxy: StartProxy, agent: Agent) -> None:
    agent.plays(run("Hello"))
    front = await proxy()
    await answered(front, "anybody")
    assert (await front.request("GET", f"{KEPT}?key=ada", headers=as_key("anybody"))).status == 403
    assert await kept(front, "DELETE", "anybody") == 2


async def test_of_all_gateways(proxy: StartProxy, agent: Agent, keys: str, store: dict[str, Any]) -> None:
    agent.plays(run("Hello"))
    tables = [{"upstream": agent.url, "prefix": prefix} for prefix in ("/one/v1", "/two/v1")]
    front = await proxy(tables=tables, api_keys_file=keys, upstream="", **store)
    body = json.dumps({"model": "default", "input": "Hi"}).encode()
    for prefix in ("/one/v1", "/two/v1"):
        assert (await front.post(body, path=f"{prefix}/responses", headers=as_key("ada"))).status == 200
    received = await front.request("DELETE", "/two/v1/kept_data?key=ada", headers=as_key("root"))
    assert json.loads(received.body)["kinds"]["stored_responses"] == 4
