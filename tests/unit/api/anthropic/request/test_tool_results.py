"""Calls and results belong together."""

from typing import Any

import pytest

from oaicompat_proxy.api.anthropic.request.tool_results import check_pairing
from oaicompat_proxy.core.errors import InvalidRequest


def called(*ids: str) -> dict[str, Any]:
    return {"role": "assistant", "content": [{"type": "tool_use", "id": each} for each in ids]}


def answered(*ids: str) -> dict[str, Any]:
    return {"role": "user", "content": [{"type": "tool_result", "tool_use_id": each} for each in ids]}


SYSTEM = {"role": "system", "content": "x"}
USER = {"role": "user", "content": "x"}


@pytest.mark.parametrize(
    "messages",
    [
        *([USER], [USER, called("a", "b"), answered("b", "a"), USER], [USER, called("a"), SYSTEM, answered("a")]),
        [USER, called("a"), answered("a"), called("a"), answered("a")],
        [USER, called("a", "b"), answered("a"), SYSTEM, answered("b"), USER, called()],
    ],
)
def test_they_do(messages: list[dict[str, Any]]) -> None:
    check_pairing(messages)


@pytest.mark.parametrize(
    ("messages", "fault"),
    [
        (
            [USER, called("a")],
            "messages.1: `tool_use` ids were found without `tool_result` blocks immediately after: a",
        ),
        ([USER, called("a", "b"), answered("a")], "messages.1: `tool_use` ids were found without"),
        ([USER, called("a"), called("b"), answered("b")], "messages.1: `tool_use` ids were found without"),
        ([answered("a")], "messages.0.content.0: unexpected `tool_use_id` found in `tool_result` blocks: a."),
        ([USER, called("a"), answered("a"), answered("a")], "messages.3.content.0: unexpected `tool_use_id`"),
    ],
)
def test_they_do_not(messages: list[dict[str, Any]], fault: str) -> None:
    with pytest.raises(InvalidRequest) as raised:
        check_pairing(messages)
    assert raised.value.message.startswith(fault)
