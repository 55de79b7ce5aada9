"""Who may use the inspector."""

from __future__ import annotations

from pathlib import Path

import pytest

from oaicompat_proxy.server.access.api_keys import digest_of
from oaicompat_proxy.server.inspection.access import COOKIE
from tests.support.inspection import API
from tests.support.proxy import Proxy, StartProxy

RUNS = f"{API}/runs"
STOP = f"{API}/runs/none/stop"


def keys_file(directory: Path, text: str = "") -> str:
    lines = [
        f'[keys.ada]\nhash = "{digest_of("sk-ada").hex()}"\ninspect = true',
        f'[keys.bob]\nhash = "{digest_of("sk-bob").hex()}"',
    ]
    (directory / "keys.toml").write_text(text or "\n".join(lines))
    return str(directory / "keys.toml")


async def status(front: Proxy, path: str = RUNS, method: str = "GET", **headers: str) -> int:
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return (await front.request(method, path, headers=names)).status


async def test_without_keys_this_machine_may(proxy: StartProxy) -> None:
    assert await status(await proxy(inspect=True)) == 200


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"X_Forwarded_For": "127.0.0.1"}, 200),
        ({"X_Forwarded_For": "203.0.113.5"}, 403),
        ({"X_Forwarded_For": "127.0.0.1, 203.0.113.5"}, 403),
        ({"X_Forwarded_For": "203.0.113.5, 127.0.0.1"}, 403),
        ({"Forwarded": "for=203.0.113.5"}, 403),
        ({"Via": "1.1 proxy"}, 403),
    ],
)
async def test_without_keys_the_address_behind_proxies_counts(
    proxy: StartProxy, headers: dict[str, str], expected: int
) -> None:
    front = await proxy(inspect=True)
    for path in ("/inspect", "/inspect/app.js", RUNS, f"{API}/events?run=none"):
        found = await status(front, path, **headers)
        assert found == expected or (expected == 200 and found == 404)


@pytest.mark.parametrize("path", ["/inspect", "/inspect/style.css", RUNS, f"{API}/events"])
@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example"},
        {"Host": "192.0.2.1"},
        {"Host": ""},
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "vscode-webview://x"},
        {"Sec_Fetch_Site": "cross-site"},
    ],
)
async def test_pages_from_elsewhere_get_nothing(proxy: StartProxy, path: str, headers: dict[str, str]) -> None:
    front = await proxy(inspect=True, cors="https://app.example.com")
    assert await status(front, path, **headers) == 403


async def test_own_names_are_the_loopback_and_those_that_are_allowed(proxy: StartProxy) -> None:
    front = await proxy(inspect=True, allowed_host=("ai.example.com",))
    for host in ("localhost", "localhost:1", "127.0.0.1:8700", "[::1]:8700", "ai.example.com"):
        assert await status(front, Host=host, Origin=f"http://{host}") == 200


async def test_only_its_own_page_changes_something(proxy: StartProxy) -> None:
    front = await proxy(inspect=True)
    own = {"Origin": front.base}
    assert await status(front, STOP, "POST", **own) == 404
    assert await status(front, STOP, "POST") == 403
    assert await status(front, STOP, "POST", Origin="http://localhost:1") == 403
    assert await status(front, STOP, "POST", Origin=front.base, Sec_Fetch_Site="same-site") == 403
    assert await status(front, STOP, "GET", **own) == 405


async def test_with_keys_one_that_may_inspect_is_needed(proxy: StartProxy, tmp_path: Path) -> None:
    front = await proxy(inspect=True, api_keys_file=keys_file(tmp_path))
    assert await status(front) == 401
    assert await status(front, Authorization="Bearer sk-none") == 401
    assert await status(front, Authorization="Bearer sk-bob") == 403
    assert await status(front, Authorization="Bearer sk-ada") == 200
    assert await status(front, Authorization="Bearer sk-ada", Host="evil.example") == 403


async def test_keys_without_a_file_may_not(proxy: StartProxy) -> None:
    front = await proxy(inspect=True, api_key=("sk-ada",))
    assert await status(front, Authorization="Bearer sk-ada") == 403


async def log_in(front: Proxy, key: str, **headers: str) -> tuple[int, str]:
    """The status, and the cookie."""
    how = {"data": {"key": key}, "headers": {"Origin": front.base, **headers}, "allow_redirects": False}
    received = await front.request("POST", "/inspect/login", **how)
    return received.status, received.headers.get("Set-Cookie", "")


async def test_the_form_exchanges_the_key_for_a_cookie(proxy: StartProxy, tmp_path: Path) -> None:
    front = await proxy(inspect=True, api_keys_file=keys_file(tmp_path))
    form = await front.get("/inspect")
    assert (form.status, b'action="/inspect/login"' in form.body) == (401, True)
    code, cookie = await log_in(front, "sk-ada")
    assert code == 303
    assert {"HttpOnly", "SameSite=Strict", "Path=/inspect"} <= {part.strip() for part in cookie.split(";")}
    assert "Secure" not in cookie
    assert "sk-ada" not in cookie
    front.client.cookie_jar.clear()
    value = cookie.partition(";")[0]
    assert await status(front, Cookie=value) == 200
    assert (await front.request("GET", "/inspect", headers={"Cookie": value})).status == 200
    assert await status(front, Cookie=value[:-1] + ("A" if value[-1] != "A" else "B")) == 401
    expires, _, signature = value.partition("=")[2].partition(".")
    assert await status(front, Cookie=f"{COOKIE}={int(expires) + 1}.{signature}") == 401


async def test_the_cookie_is_secure_over_https(proxy: StartProxy, tmp_path: Path) -> None:
    front = await proxy(inspect=True, api_keys_file=keys_file(tmp_path), allowed_host=("ai.example.com",))
    own = {"Host": "ai.example.com", "Origin": "https://ai.example.com", "X-Forwarded-Proto": "https"}
    _, cookie = await log_in(front, "sk-ada", **own)
    assert "Secure" in cookie


@pytest.mark.parametrize(("key", "expected"), [("sk-bob", 403), ("sk-none", 401), ("", 401), ("x" * 5000, 413)])
async def test_the_form_refuses_other_keys(proxy: StartProxy, tmp_path: Path, key: str, expected: int) -> None:
    front = await proxy(inspect=True, api_keys_file=keys_file(tmp_path))
    assert await log_in(front, key) == (expected, "")
    assert await log_in(front, "sk-ada", Origin="http://evil.example") == (403, "")


async def test_the_cookie_ends_with_its_key(proxy: StartProxy, tmp_path: Path) -> None:
    secret = {"inspect": True, "session_secret": ("0123456789abcdef",)}
    front = await proxy(api_keys_file=keys_file(tmp_path), **secret)
    _, cookie = await log_in(front, "sk-ada")
    value = cookie.partition(";")[0]
    again = await proxy(api_keys_file=keys_file(tmp_path), **secret)
    assert await status(again, Cookie=value) == 200, "another worker knows it, too"
    other = keys_file(tmp_path, f'[keys.ada]\nhash = "{digest_of("sk-new").hex()}"\ninspect = true')
    assert await status(await proxy(api_keys_file=other, **secret), Cookie=value) == 401
