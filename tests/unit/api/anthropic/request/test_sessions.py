"""The session that Claude Code names, and its helpers, which have none."""

import json
from typing import Any

import pytest
from multidict import CIMultiDict

from oaicompat_proxy.api.anthropic.request.sessions import find_session
from tests.support.message_parts import request
from tests.support.parsing import parse_messages

HEADER = {"x-claude-code-session-id": "s-1"}
USER = {"user_id": json.dumps({"device_id": "d", "account_uuid": "", "session_id": "s-2"})}
TOOL = {"name": "Bash", "input_schema": {"type": "object"}}
SEARCH = {"type": "web_search_20250305", "name": "web_search"}


def session(headers: dict[str, str], tools: Any = (TOOL,), **fields: Any) -> str:
    asked = parse_messages(request(tools=list(tools), **fields), max_media=0, max_messages=9)
    return find_session(CIMultiDict(headers), asked)


def test_a_header_or_a_field_names_it() -> None:
    assert session(HEADER) == "s-1"
    assert session({}, metadata=USER) == "s-2"
    assert session(HEADER, metadata=USER) == "s-1"


def test_a_sub_agent_has_a_conversation_of_its_own() -> None:
    assert session({**HEADER, "X-Claude-Code-Agent-Id": "a-7"}) == "s-1/a-7"


@pytest.mark.parametrize("tools", [(), (SEARCH,)], ids=["title", "web search"])
def test_a_helper_has_none(tools: Any) -> None:
    assert session(HEADER, tools, metadata=USER) == ""


@pytest.mark.parametrize("user", [None, "bob", "{", "{}", '{"session_id": 1}', "[]"])
def test_other_clients_name_none(user: str | None) -> None:
    assert session({}, metadata={"user_id": user}) == ""
