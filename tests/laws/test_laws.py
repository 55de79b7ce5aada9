"""Laws: for any sequence of events, sensible or not, and for any cut of the bytes that carry it."""

import json
import random
import re
import runpy
from collections.abc import Callable, Iterable
from dataclasses import astuple, replace
from itertools import pairwise
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

import orjson
from hypothesis import given
from hypothesis import strategies as st

from oaicompat_proxy.api.anthropic.api import MESSAGES
from oaicompat_proxy.api.openai.responses.api import RESPONSES
from oaicompat_proxy.core import events, json_text
from oaicompat_proxy.core.answer import AnswerFinished, AnswerStarted, Part, UsageTotals
from oaicompat_proxy.core.events import (
    Event,
    MessageEnded,
    ReasoningDelta,
    RunEnded,
    RunFailed,
    RunResult,
    RunStarted,
    TextDelta,
    TextDeltas,
    TickEnded,
    TickStarted,
    ToolCallDelta,
    ToolCalled,
    ToolCallEnded,
    ToolCallStarted,
    Usage,
)
from tests.support.conformance import Answer, check_body, check_error_body, check_stream
from tests.support.examples import examples
from tests.support.messages_conformance import check_message_body, check_message_error, check_message_stream
from tests.support.paths import ROOT
from tests.support.pipeline import ENVELOPE, Options, Outcome, collected, read_events, streamed, translate
from tests.support.responses_conformance import check_response_body, check_response_stream

NAMES = ["", "tide", "moon", "add"]
IDS = ["", "c1", "c2", "c3"]
COUNTS = st.integers(0, 2**40)
WORDS = [
    "Hi",
    " ",
    "\n\n",
    "\U0001f30a",
    '{"a":',
    "1}",
    "\x00",
    '","executionId":"e1"}}',
    '"delta":"',
    '"spawnPath"',
    "\\",
]
TEXTS = st.sampled_from(["", "\ud83c", "\udf0a", "\u2028", "\x85", *WORDS])
STOP_REASONS = st.sampled_from(["", "stop", "tool_use", "max_tokens", "content_filter", "stop_sequence"])

FIELDS: dict[str, st.SearchStrategy[Any]] = {
    "call_id": st.sampled_from(IDS),
    "name": st.sampled_from(NAMES),
    "stop_reason": STOP_REASONS,
    "text": TEXTS | st.text(max_size=4),
    "arguments": TEXTS,
}


def deltas_of(texts: list[str]) -> TextDeltas:
    return TextDeltas("".join(texts), [orjson.dumps(text)[1:-1] for text in texts])


def texts_of(deltas: TextDeltas) -> list[str]:
    return [orjson.loads(b'"' + each + b'"') for each in deltas.encoded]


SOURCE = runpy.run_path(str(ROOT / "oaicompat_proxy" / "core" / "events.py"))
"""The events as their source defines them: of `Usage | None` the compiled form keeps only `type`."""


def strategy_of(kind: Any) -> st.SearchStrategy[Any]:
    """Any value of a field's type."""
    if kind is TextDeltas:
        return st.lists(st.sampled_from(WORDS), min_size=1, max_size=3).map(deltas_of)
    if kind in (Union, UnionType) or get_origin(kind) in (Union, UnionType):
        return st.one_of(*map(strategy_of, get_args(kind)))
    if get_origin(kind) is tuple:
        return st.lists(strategy_of(get_args(kind)[0]), max_size=2).map(tuple)
    if kind.__name__ in SOURCE:
        hints = get_type_hints(SOURCE[kind.__name__], vars(events))
        return st.builds(
            kind, **{name: FIELDS[name] if name in FIELDS else strategy_of(hint) for name, hint in hints.items()}
        )
    simple = {NoneType: st.none(), str: TEXTS, int: COUNTS, bool: st.booleans(), float: st.floats(0, 1000)}
    return simple[kind]


ANY_EVENT = st.one_of(*map(strategy_of, get_args(Event)))
ANY_EVENTS = st.lists(ANY_EVENT, max_size=25)
ENDINGS = st.sampled_from([[], [RunEnded()], [RunResult("Hi", "", Usage(4, 2, 6)), RunEnded()], [RunFailed("no")]])
OPTIONS = st.builds(
    Options,
    tool_names=st.frozensets(st.sampled_from(NAMES[1:])),
    include_usage=st.booleans(),
    legacy_functions=st.booleans(),
    reasoning_field=st.sampled_from(["reasoning_content", "reasoning", "both", "none"]),
    tick_separator=st.sampled_from(["\n\n", "", "\ud83c"]),
    server_tools=st.sampled_from(["hide", "reasoning", "content"]),
    confirmations=st.sampled_from(["deny", "ask", "approve"]),
)


def check_both(outcome: Outcome, options: Options) -> tuple[Answer | None, Answer | None]:
    """The answers of a streaming client and of one that does not stream; None where there was no answer."""
    stream, body = streamed(outcome, options), collected(outcome, options)
    answer = (
        check_stream(stream, include_usage=options.include_usage, reasoning_field=options.reasoning_field)
        if stream is not None
        else None
    )
    if outcome.failure is not None:
        error = check_error_body(body)
        assert answer is None or answer.error == error
        return answer, None
    return answer, check_body(body, reasoning_field=options.reasoning_field)


@examples(400)
@given(ANY_EVENTS, ENDINGS, OPTIONS)
def test_any_run_becomes_one_answer_or_one_error(events: list[Event], ending: list[Event], options: Options) -> None:
    """The checker holds most laws: one role, first; one finish; one ending; one envelope; calls in a row."""
    outcome = translate([*events, *ending], options)
    answer, whole = check_both(outcome, options)
    assert answer is not None or outcome.failure is not None
    if answer is not None:
        assert (answer.id, answer.created, answer.model) in (ENVELOPE, (None, None, None))
    if whole is not None:
        if not options.include_usage:
            whole.usage = None
        assert answer == whole


@examples(300)
@given(ANY_EVENTS, ENDINGS, OPTIONS, st.booleans())
def test_any_run_becomes_one_response_or_one_error(
    events: list[Event], ending: list[Event], options: Options, hides: bool
) -> None:
    """The same by the Responses API, which says what chat says, and shows the agent's own tools as items."""
    hidden = options._replace(legacy_functions=False, reasoning_field="reasoning", server_tools="hide")
    shown = hidden if hides else hidden._replace(server_tools="items")
    outcome = translate([*events, *ending], shown)
    stream, body = streamed(outcome, shown, RESPONSES), collected(outcome, shown, RESPONSES)
    answer = check_response_stream(stream) if stream is not None else None
    if outcome.failure is not None:
        message = check_error_body(body)["message"]
        assert message == orjson.loads(json_text.encode(outcome.failure.message))
        assert answer is None or (answer.status, answer.error and answer.error["message"]) == ("failed", message)
        return
    assert answer == check_response_body(body)
    chat = check_body(collected(translate([*events, *ending], hidden), hidden), reasoning_field="reasoning")
    assert answer is not None
    assert (answer.text, answer.reasoning, answer.calls) == (chat.text, chat.reasoning, chat.tool_calls)
    assert hides is False or answer.agent_calls == []


@examples(300)
@given(ANY_EVENTS, ENDINGS, OPTIONS, st.booleans())
def test_any_run_becomes_one_message_or_one_error(
    events: list[Event], ending: list[Event], options: Options, hides: bool
) -> None:
    """The same by the Messages API, in whose two forms the answer can be converted into each other."""
    hidden = options._replace(legacy_functions=False, reasoning_field="reasoning", server_tools="hide")
    shown = hidden if hides else hidden._replace(server_tools="items")
    outcome = translate([*events, *ending], shown)
    stream, body = streamed(outcome, shown, MESSAGES), collected(outcome, shown, MESSAGES)
    answer = check_message_stream(stream) if stream is not None else None
    if outcome.failure is not None:
        error = check_message_error(body)
        assert error["message"] == orjson.loads(json_text.encode(outcome.failure.message))
        assert answer is None or answer.error == error
        return
    assert answer == check_message_body(body)
    assert answer is not None
    assert stream is not None
    chat = check_body(collected(translate([*events, *ending], hidden), hidden), reasoning_field="reasoning")
    assert (answer.text, answer.thinking) == (chat.text, chat.reasoning)
    assert [call[:2] for call in answer.calls] == [call[:2] for call in chat.tool_calls]
    assert hides is False or answer.agent_calls == []
    assert MESSAGES.retries.convert is not None
    assert check_message_body(MESSAGES.retries.convert(stream, False)) == answer
    assert check_message_stream(MESSAGES.retries.convert(body, True)) == answer


@examples(200)
@given(ANY_EVENTS, OPTIONS)
def test_nothing_follows_the_end(events: list[Event], options: Options) -> None:
    outcome = translate([*events, RunEnded()], options)
    kinds = [type(chunk) for chunk in outcome.chunks]
    assert kinds.count(AnswerStarted) <= 1
    assert kinds.count(AnswerFinished) == (outcome.failure is None)
    if outcome.failure is None:
        assert kinds[0] is AnswerStarted
        assert kinds[-2:] == [AnswerFinished, UsageTotals] or kinds[-1] is AnswerFinished


@examples(200)
@given(ANY_EVENTS, ANY_EVENTS, OPTIONS)
def test_chunks_go_out_at_once_and_are_never_taken_back(
    events: list[Event], more: list[Event], options: Options
) -> None:
    early, late = translate(events, options).chunks, translate([*events, *more], options).chunks
    assert late[: len(early)] == early


@examples(200)
@given(ANY_EVENTS, OPTIONS)
def test_a_run_without_its_last_word_is_never_a_success(events: list[Event], options: Options) -> None:
    """Unless the client's tool was called: then the rest is not the client's."""
    unfinished = [event for event in events if not isinstance(event, RunEnded)]
    without_tools = options._replace(tool_names=frozenset(), confirmations="deny")
    assert translate(unfinished, without_tools).failure is not None


# A run as the agent meant it: ticks with texts and calls

PIECES = st.lists(TEXTS, max_size=4)
CALL_FORMS = st.sampled_from(["pieces", "whole", "both", "twice", "never ended"])


class Call:
    def __init__(self, name: str, pieces: list[str], form: str) -> None:
        self.name, self.pieces, self.form = name, pieces, form
        self.arguments = "".join(pieces)

    def tell(self, call_id: str) -> Iterable[Event]:
        if self.form != "whole":
            yield ToolCallStarted(call_id, self.name)
            yield from (ToolCallDelta(call_id, piece) for piece in self.pieces)
        if self.form in ("pieces", "both", "twice"):
            yield ToolCallEnded(call_id)
        for _ in range({"whole": 1, "both": 1, "twice": 2}.get(self.form, 0)):
            yield ToolCalled(call_id, self.name, self.arguments)


CALLS = st.builds(Call, st.sampled_from(NAMES[1:]), PIECES, CALL_FORMS)
TICKS = st.tuples(PIECES, PIECES, st.lists(CALLS, max_size=3), st.randoms(use_true_random=False))


def whole(text: str) -> str:
    """The text as UTF-8 can hold it: halves of a character joined, or replaced if they are alone."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def interleave(sequences: list[list[Event]], chance: random.Random) -> Iterable[Event]:
    """Calls that come at the same time, each in its own order."""
    waiting = [list(sequence) for sequence in sequences if sequence]
    while waiting:
        chosen = chance.choice(waiting[:1] if chance.random() < 0.5 else waiting)
        yield chosen.pop(0)
        waiting = [sequence for sequence in waiting if sequence]


def tell(ticks: list[Any], declared: frozenset[str]) -> Iterable[Event]:
    yield RunStarted()
    for number, (thoughts, texts, calls, chance) in enumerate(ticks):
        last = number == len(ticks) - 1
        yield TickStarted()
        yield from map(ReasoningDelta, thoughts)
        yield from map(TextDelta, texts)
        yield from interleave([list(call.tell(f"c{number}.{at}")) for at, call in enumerate(calls)], chance)
        yield MessageEnded("tool_use" if calls else "stop", None)
        yield TickEnded(not last, "", None)
    yield RunEnded()


@examples(200)
@given(st.lists(TICKS, min_size=1, max_size=4), st.frozensets(st.sampled_from(NAMES[1:])))
def test_the_client_gets_what_the_agent_wrote(ticks: list[Any], declared: frozenset[str]) -> None:
    """Texts joined over the ticks up to the one that is the client's; that tick's calls, each whole, in order."""
    options = Options(tool_names=declared)
    answer, _ = check_both(translate(tell(ticks, declared), options), options)
    with_client_calls = [number for number, tick in enumerate(ticks) if any(call.name in declared for call in tick[2])]
    last = with_client_calls[0] if with_client_calls else len(ticks) - 1
    assert answer is not None
    assert answer.reasoning == "\n\n".join(filter(None, (whole("".join(tick[0])) for tick in ticks[: last + 1])))
    assert answer.text == "\n\n".join(filter(None, (whole("".join(tick[1])) for tick in ticks[: last + 1])))
    mine = [(at, call) for at, call in enumerate(ticks[last][2]) if not with_client_calls or call.name in declared]
    assert sorted(answer.tool_calls) == [
        (f"c{last}.{at}", call.name, whole(call.arguments) or "{}") for at, call in mine
    ]
    assert answer.finish_reason == ("tool_calls" if mine else "stop")


# Bytes: frames of an Agentick gateway made of events, disturbed and cut

TELLERS: dict[type[Any], Callable[[Any], tuple[str, dict[str, Any]]]] = {
    RunStarted: lambda event: ("execution_start", {}),
    TickStarted: lambda event: ("tick_start", {"tick": 1}),
    TextDelta: lambda event: ("content_delta", {"blockType": "text", "blockIndex": 0, "delta": event.text}),
    ReasoningDelta: lambda event: ("reasoning_delta", {"blockIndex": 0, "delta": event.text}),
    ToolCallStarted: lambda event: ("tool_call_start", {"callId": event.call_id, "name": event.name}),
    ToolCallDelta: lambda event: ("tool_call_delta", {"callId": event.call_id, "delta": event.arguments}),
    ToolCallEnded: lambda event: ("tool_call_end", {"callId": event.call_id}),
    events.ToolStarted: lambda event: ("tool_result_start", {"callId": event.call_id, "name": event.name}),
    MessageEnded: lambda event: ("message_end", {"stopReason": event.stop_reason, "usage": usage_of(event)}),
    TickEnded: lambda event: (
        "tick_end",
        {"shouldContinue": event.continues, "stopReason": event.stop_reason, "usage": usage_of(event)},
    ),
    RunFailed: lambda event: ("error", {"error": event.message}),
}


def usage_of(event: Any) -> dict[str, int | None] | None:
    if event.usage is None:
        return None
    used, made, total, reasoning, cached, written = astuple(event.usage)
    return {
        "inputTokens": used,
        "outputTokens": made,
        "totalTokens": total,
        "reasoningTokens": reasoning,
        "cachedInputTokens": cached,
        "cacheCreationTokens": written,
    }


TOLD = st.lists(st.one_of(st.builds(TextDelta, TEXTS), *map(strategy_of, TELLERS)), max_size=15).map(
    lambda events: [as_gateways_send(event) for event in events]
)


def as_gateways_send(event: Any) -> Any:
    """The event as a frame can carry it: a total of zero is counted, a failure has its kind from its text.

    Whether a call is early is not looked at: it depends on the frames before it.
    """
    if isinstance(event, ToolCalled):
        return event._replace(is_early=False)
    if isinstance(event, RunFailed):
        return RunFailed(event.message)
    usage = getattr(event, "usage", None)
    if usage is not None and not usage.total_tokens:
        return event._replace(usage=replace(usage, total_tokens=usage.input_tokens + usage.output_tokens))
    return event


def frame(event: Any, chance: random.Random) -> bytes:
    """Its frame: as the gateway writes it, or with the keys in any order and lines that end in any way."""
    name, data = TELLERS[type(event)](event)
    if name != "error":
        data = {"type": name, "id": "evt_1", "sequence": 8, **data, "executionId": "e1"}
    fields = [("type", "event"), ("event", name), ("sessionId", "harbor:r1"), ("data", data)]
    if chance.random() < 0.5:
        return b"data: " + gateway_json(dict(fields)) + b"\n\n"
    chance.shuffle(fields)
    separators = chance.choice([(",", ":"), (", ", ": ")])
    text = json.dumps(dict(fields), separators=separators)
    end = chance.choice([b"\n", b"\r\n", b"\r"])
    return b"data:" + chance.choice([b" ", b""]) + text.encode() + end + end


def gateway_json(value: Any) -> bytes:
    """Compact and not escaped, except halves of characters, as JavaScript writes it."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return re.sub("[\ud800-\udfff]", lambda half: f"\\u{ord(half[0]):04x}", text).encode()


def read_one_by_one(reads: Iterable[bytes]) -> list[Event]:
    """The events of the reads: deltas of one batch one by one, without empty ones."""
    events: list[Event] = []
    for event in read_events(reads):
        events += map(TextDelta, texts_of(event)) if isinstance(event, TextDeltas) else [as_gateways_send(event)]
    return [event for event in events if event != TextDelta("")]


NOISE = [
    b":heartbeat\n\n",
    b": ping\r\n",
    b"\n\n",
    b"retry: 100\n\n",
    b"id: 7\n",
    b'data: {"type":"event","event":"compiled","data":{"type":"compiled","system":"' + b"x" * 600 + b'"}}\n\n',
    b'data: {"type":"event","event":"content_delta","data":{"delta":"CHILD","spawnPath":["s1"]}}\n\n',
    b'data: {"type":"event","event":"new_thing","data":{}}\n\n',
]


@examples(200)
@given(TOLD, st.randoms(use_true_random=False), st.lists(st.floats(0, 1), max_size=8))
def test_cuts_order_line_ends_and_noise_change_nothing(
    events: list[Any], chance: random.Random, cuts: list[float]
) -> None:
    wire = b"".join(
        piece
        for event in events
        for piece in [*chance.sample(NOISE, chance.choice([0, 0, 1, 2])), frame(event, chance)]
    )
    edges = [0, *sorted(int(cut * len(wire)) for cut in cuts), len(wire)]
    ends = [place for place, event in enumerate(events) if isinstance(event, RunEnded | RunFailed)]
    expected = [event for event in events[: ends[0] + 1 if ends else None] if event != TextDelta("")]
    assert read_one_by_one(wire[start:stop] for start, stop in pairwise(edges)) == expected
    assert read_one_by_one([wire]) == expected
    assert read_one_by_one(wire[place : place + 1] for place in range(len(wire))) == expected


@examples(100)
@given(TOLD, st.randoms(use_true_random=False), st.data())
def test_garbled_bytes_are_an_error_or_an_answer_but_nothing_else(
    events: list[Any], chance: random.Random, data: st.DataObject
) -> None:
    wire = bytearray(b"".join(frame(event, chance) for event in [*events, RunStarted()]))
    for place in data.draw(st.lists(st.integers(0, len(wire) - 1), max_size=5)):
        wire[place] = data.draw(st.integers(0, 255))
    options = data.draw(OPTIONS)
    outcome = translate(read_events([bytes(wire)], include_tool_activity=True), options)
    check_both(outcome, options)


def test_every_kind_of_event_is_generated() -> None:
    """The laws hold for the vocabulary as it is, not as it was when they were written."""
    known = {
        value for value in vars(events).values() if isinstance(value, type) and value.__module__ == events.__name__
    }
    assert set(get_args(Event)) == known - {events.Usage, events.Citation}
    chunks = {kind for kind in get_args(Part) if isinstance(kind, type)}
    assert {AnswerStarted, AnswerFinished, UsageTotals} <= chunks
