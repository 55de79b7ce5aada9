"""Runs as conversations: each event of the agent, and the chunks that go out at once (decisions D1 to D6)."""

import json

import pytest

from oaicompat_proxy.core.answer import (
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
from oaicompat_proxy.core.answer_options import AnswerOptions
from oaicompat_proxy.core.errors import (
    AgentAborted,
    AgentError,
    AgentOverloaded,
    ModelNotFound,
    ProxyError,
    UpstreamInterrupted,
)
from oaicompat_proxy.core.events import (
    Citation,
    ConfirmationRequired,
    Event,
    MessageCompleted,
    MessageEnded,
    MessageUsed,
    ModelFailed,
    ReasoningDelta,
    ReasoningStarted,
    RunEnded,
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
    ToolCallHandled,
    ToolCallStarted,
    ToolFinished,
    ToolStarted,
    Usage,
)
from oaicompat_proxy.translation.translator import FINISH_REASONS, Translator

STOPPED = AnswerFinished(FinishReason.STOP)
CALLS_TOOLS = AnswerFinished(FinishReason.TOOL_CALLS)

Conversation = list[tuple[Event, list[Part]]]

ROLE, ROLE_BEFORE_CALL = AnswerStarted(), AnswerStarted(with_text=False)
USED = Usage(30, 9, 39)
REPORT = UsageTotals(30, 9, 39)


def new(*tool_names: str, server_tools: str = "hide", confirmations: str = "deny") -> Translator:
    options = AnswerOptions(model="owl", tool_names=tool_names, server_tools=server_tools, confirmations=confirmations)
    return Translator(options, sign=lambda call_id: f"signed {call_id}")


def hold(translator: Translator, conversation: Conversation) -> None:
    for number, (event, expected) in enumerate(conversation):
        assert translator.feed(event) == expected, (number, event)


def message_end(stop_reason: str = "stop", usage: Usage | None = None) -> MessageEnded:
    return MessageEnded(stop_reason, usage)


def tick_end(continues: bool = False, stop_reason: str = "stop", usage: Usage | None = None) -> TickEnded:
    return TickEnded(continues, stop_reason, usage)


# D3: one run is one choice

ONE_CHOICE: dict[str, Conversation] = {
    "text goes out as it comes, after the role": [
        (RunStarted(), []),
        (TickStarted(), []),
        (TextDelta("Hi"), [ROLE, TextPart("Hi")]),
        (TextDelta(""), []),
        (TextDelta(" you"), [TextPart(" you")]),
        (message_end(), []),
        (tick_end(), []),
        (RunResult("Hi you", "", USED), []),
        (RunEnded(), [STOPPED, REPORT]),
    ],
    "nothing said is an empty answer": [
        (RunStarted(), []),
        (RunEnded(), [ROLE, STOPPED]),
    ],
    "reasoning is a channel of its own": [
        (ReasoningDelta("Hm"), [ROLE, ReasoningPart("Hm")]),
        (TextDelta("Hi"), [TextPart("Hi")]),
        (ReasoningDelta("!"), [ReasoningPart("!")]),
        (RunEnded(), [STOPPED]),
    ],
    "texts of ticks are joined by a separator, each in its channel": [
        (TickStarted(), []),
        (ReasoningDelta("Hm"), [ROLE, ReasoningPart("Hm")]),
        (TextDelta("One"), [TextPart("One")]),
        (tick_end(continues=True), []),
        (TickStarted(), []),
        (TextDelta("Two"), [TextPart("\n\nTwo")]),
        (ReasoningDelta("Ha"), [ReasoningPart("\n\nHa")]),
        (tick_end(), []),
        (RunEnded(), [STOPPED]),
    ],
    "a message that did not stream comes whole": [
        (TickStarted(), []),
        (MessageCompleted("Hi", "Hm", "stop", USED), [ROLE, ReasoningPart("Hm"), TextPart("Hi")]),
        (MessageCompleted("Hi", "Hm", "stop", USED), []),
        (RunEnded(), [STOPPED, REPORT]),
    ],
    "a message that streamed is not said again": [
        (TextDelta("Hi"), [ROLE, TextPart("Hi")]),
        (MessageCompleted("Hi", "", "stop", None), []),
        (RunResult("Hi", "", None), []),
        (RunEnded(), [STOPPED]),
    ],
    "a copy gives what did not stream": [
        (TextDelta("Hi"), [ROLE, TextPart("Hi")]),
        (MessageCompleted("Hi", "Hm", "stop", None), [ReasoningPart("Hm")]),
        (RunEnded(), [STOPPED]),
    ],
    "the second tick's message comes whole too": [
        (TickStarted(), []),
        (MessageCompleted("One", "", "", None), [ROLE, TextPart("One")]),
        (TickStarted(), []),
        (MessageCompleted("Two", "", "", None), [TextPart("\n\nTwo")]),
        (RunEnded(), [STOPPED]),
    ],
    "the run's summary speaks if nobody else did": [
        (RunResult("Hi", "", None), [ROLE, TextPart("Hi")]),
        (RunEnded(), [STOPPED]),
    ],
    "two ends are one": [
        (TextDelta("Hi"), [ROLE, TextPart("Hi")]),
        (RunEnded(), [STOPPED]),
        (RunEnded(), []),
        (TextDelta("more"), []),
        (RunFailed("late"), []),
    ],
    "a character cut in two is whole, also at the very end": [
        (TextDelta("\ud83c"), []),
        (TextDelta("\udf0a"), [ROLE, TextPart("\U0001f30a")]),
        (TextDelta("!\ud83c"), [TextPart("!")]),
        (RunEnded(), [TextPart("\ufffd"), STOPPED]),
    ],
    "half a character is not said again by the copies": [
        (TextDelta("\ud83c"), []),
        (MessageCompleted("\ud83c", "", "stop", None), []),
        (RunResult("\ud83c", "", None), []),
        (RunEnded(), [ROLE, TextPart("\ufffd"), STOPPED]),
    ],
}


@pytest.mark.parametrize("conversation", ONE_CHOICE.values(), ids=ONE_CHOICE)
def test_one_run_is_one_choice(conversation: Conversation) -> None:
    translator = new()
    hold(translator, conversation)
    assert translator.ended
    translator.finish()


# How it ends

STOP_REASONS = [
    *FINISH_REASONS.items(),
    ("stop", FinishReason.STOP),
    ("natural_completion", FinishReason.STOP),
    ("explicit_completion", FinishReason.STOP),
    ("stop_sequence", FinishReason.STOP),
    ("", FinishReason.STOP),
    ("never heard of", FinishReason.STOP),
]


@pytest.mark.parametrize(("native", "expected"), STOP_REASONS)
@pytest.mark.parametrize(
    "says",
    [
        lambda reason: message_end(reason),
        lambda reason: MessageCompleted("", "", reason, None),
        lambda reason: tick_end(stop_reason=reason),
        lambda reason: RunResult("", reason, None),
    ],
    ids=["message end", "message", "tick end", "result"],
)
def test_a_stop_reason_becomes_a_finish_reason(says: object, native: str, expected: FinishReason) -> None:
    assert callable(says)
    hold(new(), [(says(native), []), (RunEnded(), [ROLE, AnswerFinished(expected)])])


def test_the_last_stop_reason_counts_and_silence_is_none() -> None:
    events = [message_end("max_tokens"), message_end("stop"), tick_end(stop_reason=""), RunResult("", "", None)]
    hold(new(), [*((event, []) for event in events), (RunEnded(), [ROLE, STOPPED])])


def test_a_tick_limit_ends_with_length_and_keeps_the_calls() -> None:
    hold(
        new(),
        [
            (TickStarted(), []),
            (TextDelta("Look"), [ROLE, TextPart("Look")]),
            (ToolCalled("c1", "add", "{}"), []),
            (message_end("tool_use"), []),
            (tick_end(continues=True, stop_reason="tool_use"), []),
            (RunResult("Look", "", None), []),
            (RunEnded(), [AnswerFinished(FinishReason.LENGTH)]),
        ],
    )


def test_a_later_tick_takes_back_that_it_would_go_on() -> None:
    hold(
        new(),
        [(tick_end(continues=True), []), (TickStarted(), []), (RunEnded(), [ROLE, STOPPED])],
    )


# D4: whose tool call is it?

CALL = [ToolCallStarted("c1", "tide"), ToolCallDelta("c1", "{}"), ToolCallEnded("c1")]
CALL_SENT = [[ROLE_BEFORE_CALL, ToolCallOpened(0, "c1", "tide")], [ToolCallArguments(0, "{}")], []]
CALLED: Conversation = list(zip(CALL, CALL_SENT, strict=True))

ENDS_WITH_CLIENTS_CALL: dict[str, Conversation] = {
    "the message's end, if it says what it used": [
        (message_end("tool_use", USED), [CALLS_TOOLS, REPORT]),
    ],
    "the message's copy, if the end did not say": [
        (message_end("tool_use", Usage(0, 0, 0)), []),
        (MessageCompleted("", "", "tool_use", USED), [CALLS_TOOLS, REPORT]),
    ],
    "its usage, if it comes on its own": [
        (message_end("tool_use"), []),
        (MessageUsed(USED), [CALLS_TOOLS, REPORT]),
    ],
    "the agent that begins to run it": [
        (message_end("tool_use"), []),
        (ToolStarted("c1", "tide"), [CALLS_TOOLS]),
    ],
    "the agent that has run it": [
        (ToolFinished("c1", "tide", "faked", False, None), [CALLS_TOOLS]),
    ],
    "the tick's end": [
        (tick_end(continues=True, usage=USED), [CALLS_TOOLS, REPORT]),
    ],
    "the next tick": [
        (TickStarted(), [CALLS_TOOLS]),
    ],
    "the run's end": [
        (RunEnded(), [CALLS_TOOLS]),
    ],
    "a model that was cut off": [
        (message_end("max_tokens", USED), [AnswerFinished(FinishReason.LENGTH), REPORT]),
    ],
}


@pytest.mark.parametrize("ending", ENDS_WITH_CLIENTS_CALL.values(), ids=ENDS_WITH_CLIENTS_CALL)
def test_a_declared_call_ends_the_answer_with(ending: Conversation) -> None:
    translator = new("tide")
    after = [TickStarted(), TextDelta("Nobody reads this."), tick_end(), RunEnded()]
    hold(translator, [*CALLED, *ending, *((event, []) for event in after)])
    assert translator.ended
    translator.finish()


def test_a_declared_call_is_the_clients_whatever_was_said_before() -> None:
    """A call whose head was sent needs its arguments, for every end of the run."""
    hold(
        new("tide"),
        [
            (tick_end(continues=True), []),
            (ToolCallStarted("c1", "tide"), [ROLE_BEFORE_CALL, ToolCallOpened(0, "c1", "tide")]),
            (RunEnded(), [ToolCallArguments(0, "{}"), CALLS_TOOLS]),
        ],
    )


OWN_CALLS: dict[str, list[Event]] = {
    "in pieces": CALL,
    "whole": [ToolCalled("c1", "tide", "{}")],
    "twice": [*CALL, ToolCalled("c1", "tide", "{}"), ToolCalled("c1", "tide", "{}")],
    "never ended": CALL[:2],
    "parallel": [*CALL[:2], ToolCallStarted("c2", "moon"), ToolCallDelta("c2", "{}")],
}


@pytest.mark.parametrize("calls", OWN_CALLS.values(), ids=OWN_CALLS)
def test_the_agents_own_call_stays_inside(calls: list[Event]) -> None:
    said_nothing = [*calls, message_end("tool_use"), ToolStarted("c1", "tide"), tick_end(True, "tool_use")]
    hold(
        new("another"),
        [
            *((event, []) for event in said_nothing),
            (TickStarted(), []),
            (TextDelta("06:12"), [ROLE, TextPart("06:12")]),
            (tick_end(), []),
            (RunEnded(), [STOPPED]),
        ],
    )


def test_an_undeclared_call_on_which_the_run_ends_is_handed_out() -> None:
    before = [*CALL, message_end("tool_use"), ToolStarted("c1", "tide"), tick_end(False, "tool_use")]
    hold(
        new(),
        [
            *((event, []) for event in before),
            (
                RunEnded(),
                [
                    ROLE_BEFORE_CALL,
                    ToolCallOpened(0, "c1", "tide"),
                    ToolCallArguments(0, "{}"),
                    CALLS_TOOLS,
                ],
            ),
        ],
    )


def test_a_call_that_the_agent_settled_is_not_handed_out() -> None:
    conversation: Conversation = [
        (ToolCalled("c1", "almanac", "{}"), []),
        (ToolCalled("c2", "launch", "{}"), []),
        (ToolCallHandled("c1"), []),
        (
            RunEnded(),
            [
                ROLE_BEFORE_CALL,
                ToolCallOpened(0, "c2", "launch"),
                ToolCallArguments(0, "{}"),
                CALLS_TOOLS,
            ],
        ),
    ]
    hold(new(), conversation)
    hold(
        new(),
        [
            (ToolCalled("c1", "almanac", "{}"), []),
            (ToolCallHandled("c1"), []),
            (RunEnded(), [ROLE, STOPPED]),
        ],
    )


def test_a_deed_beside_the_clients_call_does_not_end_the_answer() -> None:
    """Only a result of the client's call ends it: it shows that the agent goes on with that call."""
    conversation: Conversation = [
        (ToolCalled("c1", "almanac", "{}"), []),
        (
            ToolCalled("c2", "tide", "{}"),
            [ROLE_BEFORE_CALL, ToolCallOpened(0, "c2", "tide"), ToolCallArguments(0, "{}")],
        ),
        (ToolCallHandled("c1"), []),
        (ToolFinished("c1", "almanac", "06:12", False, None), [ReasoningPart("⟦tool⟧ almanac {} → 06:12")]),
        (ToolCallHandled("c2"), []),
        (RunResult("", "", USED), []),
        (ToolFinished("c2", "tide", "06:12", False, None), [CALLS_TOOLS, REPORT]),
    ]
    hold(new("tide", server_tools="reasoning"), conversation)


def test_two_messages_and_two_thoughts_of_a_tick_stand_apart() -> None:
    conversation: Conversation = [
        (ReasoningStarted(), []),
        (ReasoningDelta("Hm."), [ROLE, ReasoningPart("Hm.")]),
        (TextStarted(new_message=True), []),
        (TextDelta("One."), [TextPart("One.")]),
        (ReasoningStarted(), []),
        (TextDelta(".."), [TextPart("..")]),
        (ReasoningDelta("So."), [ReasoningPart("\n\nSo.")]),
        (TextStarted(new_message=True), []),
        (TextDelta("Two."), [TextPart("\n\nTwo.")]),
    ]
    hold(new(), conversation)


def test_a_question_of_no_tool_that_nobody_answers_is_an_error() -> None:
    with pytest.raises(AgentError, match="waits for a human's answer, but this server asks its clients for none"):
        new().feed(ConfirmationRequired("i1", "", "{}", "Which port?"))


def test_only_the_clients_call_of_a_mixed_tick_goes_out() -> None:
    hold(
        new("tide"),
        [
            (ToolCalled("c0", "add", "{}"), []),
            (
                ToolCalled("c1", "tide", "{}"),
                [ROLE_BEFORE_CALL, ToolCallOpened(0, "c1", "tide"), ToolCallArguments(0, "{}")],
            ),
            (tick_end(continues=True), [CALLS_TOOLS]),
        ],
    )


def test_parallel_calls_of_the_client_go_out_one_after_another() -> None:
    hold(
        new("tide", "moon"),
        [
            (ToolCallStarted("c1", "tide"), [ROLE_BEFORE_CALL, ToolCallOpened(0, "c1", "tide")]),
            (ToolCallStarted("c2", "moon"), []),
            (ToolCallDelta("c2", "{}"), []),
            (ToolCallDelta("c1", "{}"), [ToolCallArguments(0, "{}")]),
            (message_end("tool_use"), [ToolCallOpened(1, "c2", "moon"), ToolCallArguments(1, "{}")]),
            (tick_end(), [CALLS_TOOLS]),
        ],
    )


def test_an_impossible_confirmation_names_the_tool() -> None:
    translator = new()
    with pytest.raises(AgentError, match="'danger'"):
        translator.feed(ConfirmationRequired("c1", "danger", "{}", "Allow it?"))


WAITS = ConfirmationRequired("c9", "danger", '{"x":1}', "Allow it?")


@pytest.mark.parametrize("confirmations", ["deny", "ask", "approve"])
def test_a_tick_that_is_the_clients_ends_before_a_confirmation_matters(confirmations: str) -> None:
    translator = new("tide", confirmations=confirmations)
    hold(translator, [*CALLED, (WAITS, [CALLS_TOOLS])])
    assert not translator.waits_for_client


CALLED_AND_OVER: Conversation = [(ToolCalled("c9", "danger", '{"x":1}'), [])]


def test_a_call_that_ends_a_run_is_sent_where_nobody_is_asked() -> None:
    handed = [
        ROLE_BEFORE_CALL,
        ToolCallOpened(0, "c9", "danger"),
        ToolCallArguments(0, '{"x":1}'),
        CALLS_TOOLS,
    ]
    hold(new(), [*CALLED_AND_OVER, (RunEnded(WAITS), handed)])


def test_a_call_that_ends_a_run_asks_the_client() -> None:
    translator = new(confirmations="ask")
    question = '{"message": "Allow it?", "tool": "danger", "arguments": {"x": 1}}'
    head = ToolCallOpened(0, "signed c9", "confirm_tool_call")
    asked = [ROLE_BEFORE_CALL, head, ToolCallArguments(0, question), CALLS_TOOLS]
    hold(translator, [*CALLED_AND_OVER, (RunEnded(WAITS), asked)])
    assert translator.waits_for_client


def test_a_call_on_which_a_run_ends_is_no_end_where_it_is_approved() -> None:
    hold(new(confirmations="approve"), [*CALLED_AND_OVER, (RunEnded(WAITS), [])])


@pytest.mark.parametrize("confirmations", ["deny", "ask", "approve"])
def test_the_clients_own_call_is_no_question(confirmations: str) -> None:
    handed = [ROLE_BEFORE_CALL, ToolCallOpened(0, "c9", "danger"), ToolCallArguments(0, '{"x":1}')]
    called: Conversation = [
        (ToolCalled("c9", "danger", '{"x":1}'), handed),
        (RunEnded(WAITS), [CALLS_TOOLS]),
    ]
    hold(new("danger", confirmations=confirmations), called)


def test_a_confirmation_may_be_asked_of_the_client() -> None:
    translator = new(confirmations="ask")
    question = json.dumps({"message": "Allow it?", "tool": "danger", "arguments": {"x": 1}})
    asked = [
        ToolCallOpened(0, "signed c9", "confirm_tool_call"),
        ToolCallArguments(0, question),
        CALLS_TOOLS,
    ]
    hold(
        translator,
        [
            (TextDelta("Hi"), [ROLE, TextPart("Hi")]),
            (ToolCalled("c9", "danger", '{"x":1}'), []),
            (WAITS, asked),
        ],
    )
    assert translator.waits_for_client


def test_a_confirmation_may_be_left_to_others() -> None:
    hold(new(confirmations="approve"), [(WAITS, []), (RunEnded(), [ROLE, STOPPED])])


# The agent's own actions, shown or hidden

TOOL_RESULT = ToolFinished("c1", "tide", "06:12", False, 0.24)
CHILD = SubagentFinished("pilot", "Six.", False)


def test_the_agents_own_tools_are_hidden_by_default() -> None:
    hold(new(), [(ToolCalled("c1", "tide", "{}"), []), (TOOL_RESULT, []), (CHILD, [])])


def test_the_agents_own_tools_may_be_shown_as_reasoning() -> None:
    hold(
        new(server_tools="reasoning"),
        [
            (ReasoningDelta("Hm"), [ROLE, ReasoningPart("Hm")]),
            (ToolCallStarted("c1", "tide"), []),
            (ToolCallDelta("c1", '{"port":'), []),
            (ToolCallDelta("c1", '"Brest"}'), []),
            (TOOL_RESULT, [ReasoningPart('\n\n⟦tool⟧ tide {"port":"Brest"} → 06:12 (0.2 s)')]),
            (CHILD, [ReasoningPart("\n\n⟦child⟧ pilot → Six.")]),
            (TickStarted(), []),
            (TextDelta("Six."), [TextPart("Six.")]),
            (RunEnded(), [STOPPED]),
        ],
    )


def test_tool_calls_in_the_text_are_not_the_agents_words() -> None:
    hold(
        new(server_tools="content"),
        [
            (ToolCalled("c1", "tide", "{}"), []),
            (TOOL_RESULT, [ROLE, TextPart("⟦tool⟧ tide {} → 06:12 (0.2 s)")]),
            (TickStarted(), []),
            (MessageCompleted("Six.", "", "stop", None), [TextPart("\n\nSix.")]),
            (RunEnded(), [STOPPED]),
        ],
    )


def test_the_clients_tool_is_never_narrated() -> None:
    hold(new("tide", server_tools="content"), [*CALLED, (TOOL_RESULT, [CALLS_TOOLS])])


# Citations


def test_citations_are_placed_in_the_whole_text_once() -> None:
    cited = TextCited((Citation("https://a.example", "A", 1, 3), Citation("https://b.example", "", None, None)))
    placed = (UrlCitation("https://a.example", "A", 6, 8), UrlCitation("https://b.example", "", 5, 9))
    hold(
        new(),
        [
            (TickStarted(), []),
            (TextDelta("One"), [ROLE, TextPart("One")]),
            (TickStarted(), []),
            (TextStarted(), []),
            (TextDelta("Four"), [TextPart("\n\nFour")]),
            (cited, [Annotations(placed)]),
            (cited, []),
            (RunEnded(), [STOPPED]),
        ],
    )


# D6: usage is what the run used


def test_the_runs_total_wins() -> None:
    events = [message_end(usage=Usage(1, 1, 2)), tick_end(usage=Usage(2, 2, 4)), RunResult("", "", USED)]
    hold(new(), [*((event, []) for event in events), (RunEnded(), [ROLE, STOPPED, REPORT])])


def test_without_it_the_ticks_are_added() -> None:
    ticks = [TickStarted(), tick_end(True, usage=Usage(10, 4, 14)), TickStarted(), tick_end(usage=Usage(20, 5, 25))]
    hold(new(), [*((event, []) for event in ticks), (RunEnded(), [ROLE, STOPPED, REPORT])])


def test_details_reach_the_report() -> None:
    result = RunResult("", "", Usage(30, 9, 39, reasoning_tokens=4, cached_tokens=8, cache_write_tokens=2))
    hold(new(), [(result, []), (RunEnded(), [ROLE, STOPPED, UsageTotals(30, 9, 39, 4, 8, 2)])])


# D1 and D2: failures


FAILURES: dict[str, tuple[list[Event], type[ProxyError]]] = {
    "the run failed": ([RunFailed("it broke")], AgentError),
    "the run was ended from outside": ([RunFailed("Execution aborted", aborted=True)], AgentAborted),
    "the app is unknown": ([RunFailed('Unknown app "owl"', unknown_app=True)], ModelNotFound),
    "the model failed and nothing better came": ([ModelFailed("overloaded"), RunEnded()], AgentOverloaded),
    "the model failed without a reason": ([ModelFailed(""), RunEnded()], AgentError),
    "the stream ended early": ([RunStarted(), TextDelta("Hi")], UpstreamInterrupted),
    "the stream ended early, after a summary": ([RunResult("Hi", "stop", USED)], UpstreamInterrupted),
    "the stream ended early, after a model failure": ([ModelFailed("overloaded")], AgentOverloaded),
    "the stream was empty": ([], UpstreamInterrupted),
}


@pytest.mark.parametrize(("events", "expected"), FAILURES.values(), ids=FAILURES)
def test_a_failure_is_never_a_success(events: list[Event], expected: type[ProxyError]) -> None:
    translator = new()
    chunks: list[Part] = []

    def run() -> None:
        for event in events:
            chunks.extend(translator.feed(event))
        translator.finish()

    with pytest.raises(ProxyError) as caught:
        run()
    assert type(caught.value) is expected
    assert not translator.ended
    assert not any(isinstance(chunk, AnswerFinished) for chunk in chunks)


def test_a_model_failure_that_the_agent_survived_is_no_failure() -> None:
    hold(
        new(),
        [
            (ModelFailed("overloaded"), []),
            (TickStarted(), []),
            (TextDelta("Hi"), [ROLE, TextPart("Hi")]),
            (RunEnded(), [STOPPED]),
        ],
    )


def test_an_unknown_app_is_an_error_in_the_clients_words() -> None:
    with pytest.raises(ModelNotFound, match="`owl`"):
        new().feed(RunFailed('Unknown app "harbor-7". Available: secret', unknown_app=True))


def test_a_client_that_waited_long_enough_gets_the_role_once() -> None:
    translator = new("tide")
    assert translator.open() == [ROLE]
    assert translator.open() == []
    assert translator.feed(TextDelta("Hi")) == [TextPart("Hi")]


def test_nothing_is_opened_twice() -> None:
    translator = new()
    translator.feed(TextDelta("Hi"))
    assert translator.open() == []
