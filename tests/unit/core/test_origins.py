"""Which origins and hosts are of this machine, which are allowed, and which only look like it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oaicompat_proxy.core.origins import OriginPolicy, host_of, is_host_name, names_origins

NOTHING_NAMED = OriginPolicy("")

LOCAL = [
    *("http://localhost", "http://localhost:3000", "https://localhost:8443", "http://LOCALHOST:3000"),
    *("http://127.0.0.1:5173", "http://127.9.9.9", "http://[::1]:3000", "http://chat.localhost:3000"),
    *("app://obsidian.md", "app://.", "tauri://localhost", "http://tauri.localhost"),
    *("vscode-webview://0f3b", "vscode-file://vscode-app"),
]
FOREIGN = [
    *("https://evil.example", "http://localhost.evil.example", "http://127.0.0.1.evil.example", "http://notlocalhost"),
    *("http://localhost@evil.example", "http://evil.example:80@localhost", "http://evil.example/localhost"),
    *(
        "http://localhost#.evil.example",
        "http://localhost\\.evil.example",
        "http://localhost ",
        "localhost",
        "//localhost",
    ),
    *("http://192.168.1.5", "http://0.0.0.0:3000", "http://[::2]", "http://[::1].evil.example", "http://[::1"),
    *("null", "NULL", "file://", "ftp://localhost", "myapp://localhost", "https+app://x", "app", "*"),
]


@pytest.mark.parametrize("origin", LOCAL)
def test_a_page_of_this_machine_or_of_a_program_is_allowed(origin: str) -> None:
    assert NOTHING_NAMED.allows_origin(origin)
    assert not NOTHING_NAMED.names(origin), "allowed, but not named: CORS is for the operator to give"


@pytest.mark.parametrize("origin", FOREIGN)
def test_a_page_from_elsewhere_is_not(origin: str) -> None:
    assert not NOTHING_NAMED.allows_origin(origin)


@pytest.mark.parametrize(
    "cors", ["https://a.example", "https://b.example, https://A.example/", "null https://a.example"]
)
def test_a_named_page_is_allowed_and_no_other(cors: str) -> None:
    policy = OriginPolicy(cors)
    assert policy.allows_origin("https://a.example")
    assert policy.names("https://a.example")
    for other in ("https://a.example:444", "http://a.example", "https://a.example.evil.example", "https://x.a.example"):
        assert not policy.allows_origin(other)


def test_null_is_allowed_where_it_is_named() -> None:
    assert OriginPolicy("null").allows_origin("null")
    assert not OriginPolicy("https://a.example").allows_origin("null")


def test_a_star_allows_every_page() -> None:
    assert all(map(OriginPolicy("*").allows_origin, [*LOCAL, *FOREIGN]))


OWN_NAMES = [
    *("localhost", "localhost:8700", "LocalHost", "localhost.", "a.localhost:80", "127.0.0.1", "127.0.0.1:8700"),
    *("192.168.1.5:8700", "203.0.113.9", "[::1]", "[::1]:8700", "[2001:db8::1]:80"),
]
FOREIGN_NAMES = [
    *(
        "evil.example",
        "evil.example:8700",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "notlocalhost",
        "[evil]",
    ),
    *(
        "localhost:8700@evil.example",
        "localhost/evil",
        "localhost:x",
        "[::1]evil",
        "::1]",
        "127.1",
        "2130706433",
        ":80",
    ),
]


@pytest.mark.parametrize("host", OWN_NAMES)
def test_a_name_that_needs_no_dns_is_allowed(host: str) -> None:
    assert NOTHING_NAMED.allows_host(host)


@pytest.mark.parametrize("host", FOREIGN_NAMES)
def test_a_name_that_anybody_can_point_here_is_not(host: str) -> None:
    assert not NOTHING_NAMED.allows_host(host)
    assert not OriginPolicy("*").allows_host(host), "that is another question"


@pytest.mark.parametrize("host", ["ai.example.com", "AI.example.com:8443", "ai.example.com."])
def test_an_allowed_name_is_allowed_at_any_port(host: str) -> None:
    policy = OriginPolicy("", ["ai.Example.com", "other"])
    assert policy.allows_host(host)
    assert not policy.allows_host(f"evil.{host}")
    assert policy.allows_host("localhost")


def test_a_star_allows_every_name() -> None:
    assert all(map(OriginPolicy("", ["*"]).allows_host, OWN_NAMES + FOREIGN_NAMES))


@pytest.mark.parametrize("text", ["a", "ai.example.com", "my_host", "10.0.0.1", "::1", "*", "xn--bcher-kva.example"])
def test_what_can_stand_in_allowed_host(text: str) -> None:
    assert is_host_name(text)


@pytest.mark.parametrize("text", ["", "http://a", "a:80", "a/b", "a b", "*.a", "a,b", "bücher", "x" * 300, "a\n"])
def test_what_cannot(text: str) -> None:
    assert not is_host_name(text)


@given(st.text())
def test_any_text_is_read(text: str) -> None:
    assert isinstance(host_of(text), str)
    assert isinstance(NOTHING_NAMED.allows_origin(text), bool)
    assert isinstance(is_host_name(text), bool)


@given(st.text(alphabet="abc.:-[]@/", max_size=12))
def test_nothing_behind_a_foreign_name_makes_it_ours(text: str) -> None:
    assert not NOTHING_NAMED.allows_host(f"localhost.x{text}")
    assert not NOTHING_NAMED.allows_origin(f"http://localhost.x{text}")


@pytest.mark.parametrize(
    ("cors", "possible"),
    [
        ("", True),
        ("*", True),
        ("null, https://a.example:8443, app://obsidian.md", True),
        ("https://a.example/", True),
        ("a.example", False),
        ("https://a.example, b.example", False),
        ("https://a.example/page", False),
        ("https://", False),
    ],
)
def test_what_can_stand_in_cors(cors: str, possible: bool) -> None:
    assert names_origins(cors) is possible
