"""Laws for any parts: stream and body agree, and say what chat says."""

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from oaicompat_proxy.api.openai.chat.encoder import ChunkEncoder
from oaicompat_proxy.api.openai.responses.answer.output import OutputOptions
from oaicompat_proxy.core.answer import (
    AgentToolCalled,
    AgentToolReturned,
    Annotations,
    AnswerFinished,
    AnswerStarted,
    FinishReason,
    Part,
    ReasoningPart,
    TextPart,
    ToolCallArguments,
    ToolCallOpened,
    UrlCitation,
    UsageTotals,
)
from oaicompat_proxy.core.errors import AgentError
from tests.support.examples import examples
from tests.support.response_parts import ENVELOPE, answer, batch, stream
from tests.support.responses_conformance import check_response_stream

TEXTS = st.text(min_size=1, max_size=5) | st.sampled_from(["\u2028", "\x85", '"', "\\", "\ud83c", "🌊"])
SAFE_TEXTS = TEXTS.map(lambda text: text.encode("utf-8", "replace").decode())
SPEECH = st.one_of(
    TEXTS.map(TextPart),
    st.lists(SAFE_TEXTS, min_size=1, max_size=4).map(lambda texts: batch(*texts)),
    TEXTS.map(ReasoningPart),
    st.builds(AgentToolCalled, st.sampled_from("ab"), TEXTS, TEXTS, st.sampled_from(["", "child"])),
    st.builds(AgentToolReturned, st.sampled_from("ab"), TEXTS, st.none() | TEXTS, st.booleans()),
)
CALLS = st.lists(st.tuples(st.sampled_from(["tide", "moon"]), st.lists(TEXTS, min_size=1, max_size=3)), max_size=3)


@st.composite
def any_parts(draw: st.DrawFn) -> list[Part]:
    parts: list[Part] = draw(st.lists(SPEECH, max_size=8))
    for position, (name, pieces) in enumerate(draw(CALLS)):
        parts.append(ToolCallOpened(position, f"call_{position}", name))
        for piece in pieces:
            parts.append(ToolCallArguments(position, piece))
            parts += draw(st.lists(SPEECH, max_size=1))
    if draw(st.booleans()):
        parts.append(Annotations((UrlCitation("http://x", "X", 0, 0),)))
    parts.append(AnswerFinished(draw(st.sampled_from(FinishReason))))
    return parts + draw(st.sampled_from([[], [UsageTotals(1, 2, 3)]]))


@examples(300)
@given(any_parts(), st.sampled_from(["summary", "text"]))
def test_stream_and_body_agree_and_say_what_chat_says(parts: list[Part], reasoning: Any) -> None:
    received = answer(*parts, options=OutputOptions("owl", reasoning=reasoning))
    chat = ChunkEncoder(ENVELOPE, include_usage=False, reasoning_field="reasoning")
    chunks = b"".join(map(chat.encode, (AnswerStarted(), *parts)))
    deltas = [json.loads(line[6:])["choices"][0]["delta"] for line in chunks.decode().split("\n") if line]
    assert received.text == "".join(delta.get("content") or "" for delta in deltas)
    assert received.reasoning == "".join(delta.get("reasoning") or "" for delta in deltas)
    called: dict[int, list[str]] = {}
    for delta in deltas:
        for call in delta.get("tool_calls", []):
            called.setdefault(call["index"], []).append(call["function"]["arguments"])
    assert [arguments for _, _, arguments in received.calls] == ["".join(pieces) for pieces in called.values()]


@examples(200)
@given(any_parts(), st.integers(0, 20))
def test_a_failure_may_come_at_any_place(parts: list[Part], place: int) -> None:
    unfinished = [part for part in parts if not isinstance(part, AnswerFinished | UsageTotals)]
    received = check_response_stream(stream(*unfinished[:place], failure=AgentError("no")))
    assert received.status == "failed"
