"""AG-UI as the web rooms ask for it."""

from __future__ import annotations

import json

import pytest

from oaicompat_proxy.dialects.ag_ui.dialect import AgUi
from oaicompat_proxy.events import ToolCallSettled, ToolCallStarted, ToolFinished
from oaicompat_proxy.turn import Text, Turn


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
    assert AgUi().in_messages
    assert AgUi().headers == {"Accept": "text/event-stream"}


def test_deeds_are_read_where_they_are_told() -> None:
    frames = b'data: {"type":"TOOL_CALL_START","toolCallId":"c1","toolCallName":"tide"}\n\n'
    frames += b'data: {"type":"TOOL_CALL_RESULT","toolCallId":"c1","content":"06:12"}\n\n'
    started, settled = ToolCallStarted("c1", "tide"), ToolCallSettled("c1")
    told = ToolFinished("c1", "tide", "06:12", False, None)
    for with_deeds, expected in ((False, [started, settled]), (True, [started, settled, told])):
        assert list(AgUi().new_reader(max_frame=1024, with_deeds=with_deeds).feed(frames)) == expected
