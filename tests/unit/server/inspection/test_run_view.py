"""The JSON form of one run."""

from __future__ import annotations

import json

from oaicompat_proxy.api.registry import APIS
from oaicompat_proxy.core.answer_options import AnswerOptions
from oaicompat_proxy.server.inspection.run_view import RunView
from tests.support.scripted_gateway import OPENING, frame, run, text, tool_call

OPTIONS = AnswerOptions()


def view(*, content: bool = False, secrets: tuple[str, ...] = ()) -> RunView:
    return RunView(APIS["chat"], OPTIONS, content=content, secrets=secrets)


def test_it_returns_only_what_is_new() -> None:
    seen = view()
    seen.add(1.0, "native", b"".join(OPENING) + text("Hel"))
    assert [each["n"] for each in seen.changes()["frames"]] == [0, 1, 2, 3]
    seen.add(2.0, "native", text("lo"))
    again = seen.changes()
    assert [each["n"] for each in again["frames"]] == [4]
    assert again["frames_total"] == 5


def test_texts_are_masked_unless_they_are_wanted() -> None:
    for content in (False, True):
        seen = view(content=content)
        seen.add(1.0, "native", b"".join(run("SECRET")))
        seen.add(
            1.0, "client", b'data: {"object":"chat.completion.chunk","choices":[{"delta":{"content":"SECRET"}}]}\n\n'
        )
        assert ("SECRET" in json.dumps(seen.changes())) is content


def test_names_that_are_no_names_are_masked() -> None:
    seen = view()
    seen.add(1.0, "native", b"".join([*OPENING, *tool_call("c", "not a name <b>", "{}")]))
    seen.add(2.0, "native", frame("tool_result_start", callId="c", name="not a name <b>"))
    assert "not a name" not in json.dumps(seen.changes())


def test_a_token_is_shown_to_nobody() -> None:
    seen = view(content=True, secrets=("hunter2hunter2",))
    seen.add(1.0, "native", b"".join([*OPENING, text("it is hunter2hunter2")]))
    shown = json.dumps(seen.changes())
    assert "hunter2" not in shown
    assert "[redacted]" in shown


def test_names_of_frames_and_events() -> None:
    seen = view()
    seen.add(1.0, "native", b"".join(OPENING))
    seen.add(1.0, "client", b'data: {"object":"chat.completion.chunk"}\n\nevent: ping\ndata: {}\n\ndata: [DONE]\n\n')
    shown = seen.changes()
    assert [each["name"] for each in shown["frames"]] == ["execution_start", "tick_start", "message_start"]
    assert [each["name"] for each in shown["events"]] == ["chat.completion.chunk", "ping", "done"]


def test_pings_and_slow_clients_are_marks() -> None:
    seen = view()
    seen.add(1.0, "ping", b"")
    seen.add(2.0, "slow", b"")
    assert seen.changes()["marks"] == [{"ms": 1.0, "kind": "ping"}, {"ms": 2.0, "kind": "slow"}]


def test_a_second_run_of_an_answer_is_a_mark() -> None:
    seen = view()
    seen.add(1.0, "native", b"".join(run("a")))
    seen.add(2.0, "run", b"")
    seen.add(3.0, "native", b"".join(run("b")))
    shown = seen.changes()
    assert shown["marks"] == [{"ms": 2.0, "kind": "run"}]
    assert [each["begin"] for each in shown["spans"] if each["lane"] == "tick"] == [1.0, 3.0]


def test_the_end_of_the_run_ends_every_span() -> None:
    seen = view()
    seen.add(1.0, "native", b"".join(OPENING) + text("Hel"))
    before = [each["end"] for each in seen.changes()["spans"]]
    assert None in before
    seen.end(5.0)
    assert [each["end"] for each in seen.changes()["spans"]] == [5.0 if end is None else end for end in before]
