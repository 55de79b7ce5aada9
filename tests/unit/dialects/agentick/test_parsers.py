"""One frame's `data` to one event: every type as recorded, and a field of the wrong type counts as absent."""

from typing import Any

import pytest

from oaicompat_proxy.core.events import (
    Citation,
    ConfirmationRequired,
    Event,
    MessageCompleted,
    MessageEnded,
    MessageUsed,
    ModelFailed,
    ReasoningDelta,
    RunFailed,
    RunResult,
    RunStarted,
    SubagentFinished,
    TextCited,
    TextDelta,
    TextStarted,
    TickEnded,
    TickStarted,
    ToolCallDelta,
    ToolCalled,
    ToolCallEnded,
    ToolCallStarted,
    ToolFinished,
    ToolStarted,
    Usage,
)
from oaicompat_proxy.dialects.agentick.parsers import DUPLICATES, PARSERS, TOOL_ACTIVITY, failure_of

ALL = {**PARSERS, **TOOL_ACTIVITY, **DUPLICATES}
CALL = {"callId": "c1", "name": "tide"}
TOKENS = {"inputTokens": 30, "outputTokens": 9, "totalTokens": 39}
USED = Usage(30, 9, 39)
TEXT = {"type": "text", "text": "06:12"}
MESSAGE = {
    "role": "assistant",
    "content": [
        {"type": "reasoning", "text": "Hm."},
        TEXT,
        {"type": "tool_use", "name": "tide"},
        {**TEXT, "text": "!"},
    ],
}
WHOLE = MessageCompleted("06:12!", "Hm.", "stop", USED)
SPAN = {"startedAt": "2027-01-01T10:00:00.000Z", "completedAt": "2027-01-01T10:00:01.250Z"}
BLOCK = {"blockType": "text", "blockIndex": 0}
CITED = {"url": "https://tides.example", "title": "Tides", "startIndex": 0, "endIndex": 5}

EVENTS: list[tuple[str, dict[str, Any], Event | None]] = [
    ("execution_start", {"executionId": "e1"}, RunStarted()),
    ("tick_start", {"tick": 2}, TickStarted()),
    ("message_start", {"role": "assistant", "model": "heron-1"}, None),
    ("content_start", BLOCK, TextStarted()),
    ("content_start", {"blockType": "image"}, None),
    ("content_delta", {**BLOCK, "delta": "Hi"}, TextDelta("Hi")),
    ("content_delta", {"delta": "Hi"}, TextDelta("Hi")),
    ("content_delta", {**BLOCK, "delta": "", "raw": {}}, TextDelta("")),
    ("content_delta", {"blockType": "code", "delta": "Hi"}, None),
    ("content_end", BLOCK, None),
    (
        "content_end",
        {**BLOCK, "metadata": {"citations": [CITED, {"url": "https://b.example"}]}},
        TextCited((Citation("https://tides.example", "Tides", 0, 5), Citation("https://b.example", "", None, None))),
    ),
    ("content_end", {**BLOCK, "metadata": {"citations": [7, {"title": "no address"}]}}, TextCited(())),
    ("reasoning_delta", {"blockIndex": 0, "delta": "Hm"}, ReasoningDelta("Hm")),
    ("tool_call_start", CALL, ToolCallStarted("c1", "tide")),
    ("tool_call_delta", {"callId": "c1", "delta": '{"a"'}, ToolCallDelta("c1", '{"a"')),
    ("tool_call_end", {"callId": "c1"}, ToolCallEnded("c1")),
    ("tool_call", {**CALL, "input": {"port": "Saint-Malo é"}}, ToolCalled("c1", "tide", '{"port":"Saint-Malo é"}')),
    ("tool_call", {**CALL, "input": {}}, ToolCalled("c1", "tide", "{}")),
    ("tool_call", CALL, ToolCalled("c1", "tide", "{}")),
    ("tool_call", {**CALL, "input": {"raw": '{"port":"Bre'}}, ToolCalled("c1", "tide", '{"port":"Bre')),
    ("tool_call", {**CALL, "input": {"raw": "x", "a": 1}}, ToolCalled("c1", "tide", '{"raw":"x","a":1}')),
    ("tool_call", {**CALL, "input": {"raw": 7}}, ToolCalled("c1", "tide", '{"raw":7}')),
    ("tool_call", {**CALL, "input": {"raw": "ls"}}, ToolCalled("c1", "tide", '{"raw":"ls"}')),
    ("tool_call", {**CALL, "input": {"raw": "{}"}}, ToolCalled("c1", "tide", '{"raw":"{}"}')),
    ("message_end", {"stopReason": "stop", "usage": TOKENS}, MessageEnded("stop", USED)),
    ("message_end", {}, MessageEnded("", None)),
    ("usage", {"usage": TOKENS}, MessageUsed(USED)),
    ("tool_result_start", CALL, ToolStarted("c1", "tide")),
    (
        "tool_confirmation_required",
        {**CALL, "input": {"x": 1}, "message": "Allow tide to execute?"},
        ConfirmationRequired("c1", "tide", '{"x":1}', "Allow tide to execute?"),
    ),
    (
        "tick_end",
        {"tick": 1, "shouldContinue": True, "stopReason": "tool_use", "usage": TOKENS},
        TickEnded(True, "tool_use", USED),
    ),
    ("tick_end", {"shouldContinue": False}, TickEnded(False, "", None)),
    ("tick_end", {}, TickEnded(False, "", None)),
    ("error", {"error": {"message": "busy", "code": "overloaded_error"}}, ModelFailed("busy")),
    ("engine_error", {"error": {"message": "busy"}}, ModelFailed("busy")),
    ("error", {}, ModelFailed("")),
    ("result", {"result": {"response": "Six.", "outputs": {}, "usage": TOKENS}}, RunResult("Six.", "", USED)),
    ("result", {"result": {"response": "Six.", "stopReason": "stop"}}, RunResult("Six.", "stop", None)),
    (
        "tool_result",
        {**CALL, "result": {"success": True, "content": [TEXT, {"type": "image"}]}, "isError": False, **SPAN},
        ToolFinished("c1", "tide", "06:12 [image]", False, 1.25),
    ),
    ("tool_result", {**CALL, "result": "06:12"}, ToolFinished("c1", "tide", "06:12", False, None)),
    ("tool_result", {**CALL, "result": {"success": False}}, ToolFinished("c1", "tide", "", True, None)),
    ("tool_result", {**CALL, "isError": True}, ToolFinished("c1", "tide", "", True, None)),
    ("spawn_start", {"spawnId": "s1", "componentName": "C"}, None),
    ("spawn_end", {"label": "Pilot", "componentName": "C", "output": "Six."}, SubagentFinished("Pilot", "Six.", False)),
    ("spawn_end", {"componentName": "C", "output": {"a": 1}, "isError": True}, SubagentFinished("C", '{"a": 1}', True)),
    ("spawn_end", {}, SubagentFinished("child", "", False)),
    ("fork_end", {"selectedBranch": "b"}, SubagentFinished("fork", "b", False)),
    ("message", {"message": MESSAGE, "stopReason": "stop", "usage": TOKENS}, WHOLE),
    ("model_response", {"modelOutput": {"message": MESSAGE, "stopReason": "stop", "usage": TOKENS}}, WHOLE),
    ("entry_committed", {"entry": {"message": MESSAGE}}, WHOLE._replace(stop_reason="", usage=None)),
    ("message", {"message": {"role": "user", "content": [TEXT]}}, None),
    ("message", {"message": {"content": "06:12"}}, MessageCompleted("", "", "", None)),
    ("message", {"message": {"content": [7, None]}}, MessageCompleted("", "", "", None)),
]


@pytest.mark.parametrize(("name", "data", "expected"), EVENTS)
def test_an_event_is_read(name: str, data: dict[str, Any], expected: Event | None) -> None:
    assert ALL[name]({"type": name, **data}) == expected


def test_every_parser_has_an_example() -> None:
    assert {name for name, _, _ in EVENTS} == ALL.keys()


WRONG = [None, 7, -1, 1.5, True, "text", [], [1], {}, {"a": 1}, [{}], {"usage": 7}]
FIELDS = sorted({key for _, data, _ in EVENTS for key in data} | {"spawnPath"})


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("value", WRONG)
def test_what_has_the_wrong_type_is_no_fault(name: str, value: Any) -> None:
    ALL[name](dict.fromkeys(FIELDS, value))
    for holder in ("result", "error", "message", "modelOutput", "entry", "metadata", "usage"):
        ALL[name]({holder: dict.fromkeys([*FIELDS, "content", "response", "citations", "role"], value)})


USAGES: list[tuple[Any, Usage | None]] = [
    (None, None),
    ("30", None),
    ({}, Usage(0, 0, 0)),
    (TOKENS, USED),
    ({"inputTokens": 30, "outputTokens": 9}, USED),
    ({"inputTokens": 30, "outputTokens": 9, "totalTokens": 0}, USED),
    ({"inputTokens": 30.0, "outputTokens": "9", "totalTokens": -1}, Usage(30, 0, 30)),
    ({**TOKENS, "reasoningTokens": 4, "cachedInputTokens": 0}, Usage(30, 9, 39, 4, 0)),
    ({**TOKENS, "cachedInputTokens": 8, "cacheCreationTokens": 2}, Usage(30, 9, 39, None, 8, 2)),
    ({**TOKENS, "reasoningTokens": None, "cacheCreationTokens": -1}, USED),
    ({"inputTokens": -1, "outputTokens": 9, "totalTokens": 39}, Usage(0, 9, 39)),
    ({"inputTokens": 30, "outputTokens": -1, "totalTokens": 39}, Usage(30, 0, 39)),
    ({"inputTokens": True, "outputTokens": 9, "totalTokens": 39}, Usage(0, 9, 39)),
    ({"inputTokens": 40, "outputTokens": 9, "totalTokens": 39}, Usage(40, 9, 39)),
    ({**TOKENS, "totalTokens": 1e300}, USED),
    ({**TOKENS, "totalTokens": float("inf")}, USED),
    ({**TOKENS, "totalTokens": float("nan")}, USED),
    ({**TOKENS, "totalTokens": 10**30}, USED),
]


@pytest.mark.parametrize(("usage", "expected"), USAGES)
def test_counts_that_cannot_be_are_not_counted(usage: Any, expected: Usage | None) -> None:
    assert ALL["usage"]({"usage": usage}) == MessageUsed(expected)


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("It broke.", RunFailed("It broke.")),
        ("Execution aborted", RunFailed("Execution aborted", aborted=True)),
        ('Unknown app "x". Available: a', RunFailed('Unknown app "x". Available: a', unknown_app=True)),
        ("", RunFailed("")),
    ],
)
def test_the_gateways_own_words_for_a_failure_are_known(message: str, expected: RunFailed) -> None:
    assert failure_of(message) == expected
