"""AG-UI as the web rooms ask for it."""

from __future__ import annotations

import json

import pytest

from oaicompat_proxy.core.events import ToolCallHandled, ToolCallStarted, ToolFinished
from oaicompat_proxy.core.message import Text
from oaicompat_proxy.core.turn import Turn
from oaicompat_proxy.dialects.ag_ui.dialect import AgUi


@pytest.mark.parametrize(
    ("app", "path"),
    [
        ("", ""),
        ("agents/pilot", "/agents/pilot"),
        ("/agents/pilot/", "/agents/pilot/"),
        ("https://harbor.example/pilot", "https://harbor.example/pilot"),
    ],
)
def test_an_app_is_an_address(app: str, path: str) -> None:
    dialect = AgUi()
    call = dialect.build_run(Turn((Text("Hi"),)), app=app, key=dialect.session_key(app, "s1"), run_id="r1")
    assert call.path == path
    body = json.loads(call.body)
    assert (body["threadId"], body["runId"]) == ("s1", "r1")


def test_there_is_nothing_but_the_agent() -> None:
    assert AgUi().gateway is None
    assert AgUi().takes_messages
    assert AgUi().headers == {"Accept": "text/event-stream"}


def test_the_agents_own_tools_are_read_where_they_are_shown() -> None:
    frames = b'data: {"type":"TOOL_CALL_START","toolCallId":"c1","toolCallName":"tide"}\n\n'
    frames += b'data: {"type":"TOOL_CALL_RESULT","messageId":"x1","toolCallId":"c1","content":"06:12"}\n\n'
    started, handled = ToolCallStarted("c1", "tide"), ToolCallHandled("c1")
    tool_finished = ToolFinished("c1", "tide", "06:12", False, None)
    for include_tool_activity, expected in ((False, [started, handled]), (True, [started, handled, tool_finished])):
        assert (
            list(AgUi().new_reader(max_frame=1024, include_tool_activity=include_tool_activity).feed(frames))
            == expected
        )


def test_the_run_that_was_asked_for_is_the_last_one_on_a_stream() -> None:
    started = [json.dumps({"type": "RUN_STARTED", "threadId": "t1", "runId": name}) for name in ("r1", "r2")]
    around = ['{"type":"RAW","event":{"type":"RUN_STARTED","runId":"r3"}}', "no JSON", "7"]
    stream = b"".join(b"data: " + each.encode() + b"\n\n" for each in (*started, *around))
    assert AgUi().find_run_id(stream) == "r2"
    lines = b"".join(
        b"data: " + line.encode() + b"\n" for line in json.dumps(json.loads(started[0]), indent=0).split("\n")
    )
    assert AgUi().find_run_id(lines + b"\n") == "r1"
    assert AgUi().find_run_id(b"") == AgUi().find_run_id(b"data: 7\n\n") == ""


def test_a_run_under_another_id_is_not_read_before_its_end() -> None:
    stream = b'data: {"type":"RUN_STARTED","threadId":"t1","runId":"r1"}\n\n'
    stream += b'data: {"type":"TEXT_MESSAGE_CHUNK","messageId":"a1","delta":"Six."}\n\n'
    events = [
        len(list(AgUi().new_reader(max_frame=1024, include_tool_activity=False, run_id=each).feed(stream)))
        for each in ("r1", "r2")
    ]
    assert events == [3, 1]
