"""Agentick as the web rooms ask for it."""

from __future__ import annotations

import json

from oaicompat_proxy.core.events import MessageCompleted
from oaicompat_proxy.core.message import Text
from oaicompat_proxy.core.turn import Turn
from oaicompat_proxy.dialects.agentick.dialect import Agentick


def test_the_session_says_which_app_it_is() -> None:
    dialect = Agentick()
    key = dialect.session_key("harbor", "s1")
    call = dialect.build_run(Turn((Text("Hi"),)), app="harbor", key=key, run_id="r1")
    assert (call.path, json.loads(call.body)["sessionId"]) == ("/send", "harbor:s1")


def test_a_gateway_is_spoken_to() -> None:
    dialect = Agentick()
    assert dialect.gateway is not None
    assert dialect.gateway.build_close("s1").path == "/close"
    assert not dialect.takes_messages


def test_a_run_may_be_joined_in_its_middle() -> None:
    message = {"role": "assistant", "content": [{"type": "text", "text": "Six."}]}
    copy = b'data: {"event":"message","data":{"executionId":"e1","message":%b}}\n\n' % json.dumps(message).encode()
    new, joined = (
        Agentick().new_reader(max_frame=1024, include_tool_activity=False, resumed=each) for each in (False, True)
    )
    assert list(new.feed(copy)) == [MessageCompleted("Six.", "", "", None)]
    assert list(joined.feed(copy)) == []
