"""Session keys, and the life of a session."""

from collections.abc import Iterator
from typing import Any

import pytest

from oaicompat_proxy.demo.agents import AGENTS
from oaicompat_proxy.demo.sessions import InvalidSessionId, Sessions, UnknownApp


@pytest.fixture
def sessions() -> Sessions:
    times: Iterator[str] = iter("abcdefgh")
    return Sessions(AGENTS, lambda: next(times))


@pytest.mark.parametrize(
    ("session_id", "key"),
    [
        ("main", "demo:main"),
        ("demo:main", "demo:main"),
        ("echo:a:b:c", "echo:a:b:c"),
        ("", "demo:"),
        (":x", "demo:x"),
        ("demo:", "demo:"),
    ],
)
def test_keys(sessions: Sessions, session_id: str, key: str) -> None:
    assert sessions.key(session_id) == key


@pytest.mark.parametrize("app", ["nosuchapp", "default", "Demo"])
def test_the_error_of_an_unknown_app_lists_the_apps(sessions: Sessions, app: str) -> None:
    with pytest.raises(UnknownApp) as raised:
        sessions.key(f"{app}:x")
    assert str(raised.value) == f'Unknown app "{app}". Available: demo, echo, nostream'


@pytest.mark.parametrize("session_id", [7, True, [], {}])
def test_what_is_no_string_is_no_key(sessions: Sessions, session_id: Any) -> None:
    with pytest.raises(InvalidSessionId, match=r"^key\.split is not a function$"):
        sessions.open(session_id)


def test_a_session_is_made_on_first_use_and_kept(sessions: Sessions) -> None:
    first = sessions.open("x")
    assert sessions.open("demo:x") is first
    assert (first.created, first.last_activity) == ("a", "b")
    assert [session.key for session in sessions] == ["demo:x"]


def test_apps_do_not_share_sessions(sessions: Sessions) -> None:
    assert sessions.open("echo:x") is not sessions.open("x")


def test_find_makes_none(sessions: Sessions) -> None:
    assert [sessions.find(name) for name in ("x", "nosuchapp:x", None)] == [None, None, None]


def test_close_forgets(sessions: Sessions) -> None:
    first = sessions.open("x")
    first.waiting.append(("x", {}))
    sessions.close(first)
    assert first.waiting == []
    assert sessions.open("x") is not first


def test_sequence_rises_over_runs(sessions: Sessions) -> None:
    session = sessions.open("x")
    assert [session.sequence(), session.sequence()] == [1, 2]
