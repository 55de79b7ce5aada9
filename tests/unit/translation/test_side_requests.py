"""Side requests: the prompts of front ends as they send them, and ordinary prompts about the same subjects."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from oaicompat_proxy.core.message import Media, Message, Text, Tool
from oaicompat_proxy.core.request import AgentRequest
from oaicompat_proxy.translation.side_requests import HEADS, TITLE_SIZE, SideRequest, find_side_request
from tests.support.parsing import parse_chat

RECORDED = json.loads((Path(__file__).parent / "recorded_side_requests.json").read_text("utf-8"))
"""Requests as a relay behind the front end noted them; each application's test sees that they are still sent so."""
ANSWERS = {
    "title": {"title": "When is high tide in Brest?"},
    "tags": {"tags": []},
    "follow_ups": {"follow_ups": []},
    "autocomplete": {"text": ""},
}

HISTORY = "<chat_history>\nUSER: When is high tide in Brest\ntomorrow?\nASSISTANT: At 06:12.\n</chat_history>"
OPEN_WEBUI_TITLE = (
    "### Task:\nGenerate a concise, 3-5 word title with an emoji summarizing the chat history.\n### Guidelines:\n"
    "- The title should clearly represent the main theme or subject of the conversation.\n### Output:\n"
    'JSON format: { "title": "your concise title here" }\n### Examples:\n- { "title": "📉 Stock Market Trends" },\n'
    f"### Chat History:\n{HISTORY}"
)
OPEN_WEBUI_TAGS = (
    "### Task:\nGenerate 1-3 broad tags categorizing the main themes of the chat history, along with 1-3 more specific "
    f'subtopic tags.\n\n### Output:\nJSON format: {{ "tags": ["tag1"] }}\n\n### Chat History:\n{HISTORY}'
)
OPEN_WEBUI_FOLLOW_UPS = (
    "### Task:\nSuggest 3-5 relevant follow-up questions or prompts that the user might naturally ask next in this "
    f"conversation as a **user**, based on the chat history.\n### Chat History:\n{HISTORY}"
)
OPEN_WEBUI_AUTOCOMPLETION = (
    "### Task:\nYou are an autocompletion system. Continue the text in `<text>` based on the **completion type** in "
    "`<type>` and the given language.  \n<type>General</type>\n<text>When is high</text>"
)
LIBRECHAT_TITLE = (
    "Provide a concise, 5-word-or-less title for the conversation, using title case conventions. Only return the title "
    "itself.\n\nConversation:\nUser: When is high tide in Brest tomorrow?\nAI: At 06:12."
)
NEXTCHAT_TITLE = (
    "Please generate a four to five word title summarizing our conversation without any lead-in, punctuation, "
    "quotation marks, periods, symbols, bold text, or additional text. Remove enclosing quotation marks."
)
OPENCODE_TITLE = "You are a title generator. You output ONLY a thread title. Nothing else.\n\n<task>\nGenerate a brief"
LOBECHAT_TITLE = (
    "You are a professional conversation summarizer. Generate a concise title that captures the essence of the "
    "conversation.\n\nRules:\n- Output ONLY the title text"
)
TITLE_SCHEMA = {"type": "object", "properties": {"title": {"type": "string"}}, "required": ["title"]}
TIDE = "When is high tide in Brest"
"""The first six words."""


def asked(*messages: tuple[str, str], **parameters: Any) -> AgentRequest:
    return AgentRequest(
        model="owl",
        messages=tuple(Message(role, (Text(text),)) for role, text in messages),  # type: ignore[arg-type]
        stream=False,
        tool_names=frozenset(),
        parameters=parameters,
        metadata_key="openai",
    )


@pytest.mark.parametrize(
    ("messages", "expected"),
    [
        ([("user", OPEN_WEBUI_TITLE)], SideRequest("title", json.dumps({"title": TIDE}))),
        ([("system", "Be kind."), ("user", OPEN_WEBUI_TITLE)], SideRequest("title", json.dumps({"title": TIDE}))),
        ([("user", OPEN_WEBUI_TAGS)], SideRequest("tags", '{"tags": []}')),
        ([("user", OPEN_WEBUI_FOLLOW_UPS)], SideRequest("follow_ups", '{"follow_ups": []}')),
        ([("user", OPEN_WEBUI_AUTOCOMPLETION)], SideRequest("autocomplete", '{"text": ""}')),
        ([("user", LIBRECHAT_TITLE)], SideRequest("title", TIDE)),
        (
            [("user", "When is high tide in Brest tomorrow?"), ("assistant", "06:12"), ("user", NEXTCHAT_TITLE)],
            SideRequest("title", TIDE),
        ),
        (
            [("system", OPENCODE_TITLE), ("user", "Generate a title for this conversation:\n"), ("user", TIDE)],
            SideRequest("title", TIDE),
        ),
        (
            [("system", OPENCODE_TITLE), ("user", f"Generate a title for this conversation:\n{TIDE} tomorrow")],
            SideRequest("title", TIDE),
        ),
        ([("system", LOBECHAT_TITLE), ("user", f"user: {TIDE}\nassistant: 06:12")], SideRequest("title", TIDE)),
        ([("system", LOBECHAT_TITLE), ("user", f"<user>\n{TIDE}\n</user>")], SideRequest("title", TIDE)),
        ([("user", NEXTCHAT_TITLE)], SideRequest("title", "New chat")),
    ],
)
def test_prompts_of_front_ends(messages: list[tuple[str, str]], expected: SideRequest) -> None:
    assert find_side_request(asked(*messages)) == expected


@pytest.mark.parametrize("recorded", RECORDED, ids=lambda recorded: recorded["kind"] or "runs")
def test_recorded_requests(recorded: dict[str, Any]) -> None:
    """Prompts without a kind need the model's words: an emoji, search queries, a picture's prompt, a merged answer."""
    found = find_side_request(parse_chat(json.dumps(recorded["body"]).encode(), max_media=0, max_messages=100))
    if recorded["kind"] is None:
        assert found is None
    else:
        assert found is not None
        assert found.kind == recorded["kind"]
        assert json.loads(found.answer) == ANSWERS[found.kind]


@pytest.mark.parametrize(
    "parameters",
    [
        {"output_config": {"format": {"type": "json_schema", "schema": TITLE_SCHEMA}}},
        {"text": {"format": {"type": "json_schema", "schema": TITLE_SCHEMA}}},
        {"response_format": {"type": "json_schema", "json_schema": {"schema": TITLE_SCHEMA}}},
    ],
)
def test_a_title_in_the_form_of_the_schema(parameters: dict[str, Any]) -> None:
    for message in (("user", f"<session>\n{TIDE}\n</session>"), ("user", LIBRECHAT_TITLE)):
        assert find_side_request(asked(message, **parameters)) == SideRequest("title", json.dumps({"title": TIDE}))


@pytest.mark.parametrize(
    "text",
    [
        "Generate a concise, 3-5 word title for my novel.",
        "### Task:\nGenerate a concise title for my novel.",
        "Please generate a four to five word title for my talk.",
        f"What does this prompt do?\n\n{OPEN_WEBUI_TITLE}",
        f"<session>\n{TIDE}\n</session>",
        "What are follow-up questions?",
        "",
    ],
)
def test_ordinary_prompts_run(text: str) -> None:
    assert find_side_request(asked(("user", text))) is None


def test_a_request_with_tools_runs() -> None:
    prompt = asked(("user", OPEN_WEBUI_TITLE), max_tokens=1)
    for more in ({"tool_names": frozenset({"tide"})}, {"tools": (Tool("tide", "", {}),)}, {"conversational": False}):
        fields = {name: getattr(prompt, name) for name in AgentRequest.__dataclass_fields__}
        assert find_side_request(AgentRequest(**{**fields, **more})) is None


@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens", "max_output_tokens"])
@pytest.mark.parametrize(("limit", "is_check"), [(1, True), (5, True), (0, False), (6, False), (True, False)])
def test_a_health_check_is_short_and_wants_few_tokens(name: str, limit: int, is_check: bool) -> None:
    expected = SideRequest("health", "OK") if is_check else None
    assert find_side_request(asked(("user", "Hi"), **{name: limit})) == expected


def test_no_health_check() -> None:
    assert find_side_request(asked(("user", "Hi"))) is None
    assert find_side_request(asked(("user", "x" * 65), max_tokens=1)) is None
    assert find_side_request(asked(("system", "Be brief."), ("user", "Hi"), max_tokens=1)) is None
    picture = AgentRequest(
        model="",
        messages=(Message("user", (Text("Hi"), Media("image", url="https://example.com/owl.png"))),),
        stream=False,
        tool_names=frozenset(),
        parameters={"max_tokens": 1},
        metadata_key="openai",
    )
    assert find_side_request(picture) is None


@pytest.mark.parametrize("words", ["x" * 100_000, "wo\x1brd\n" * 10_000, '{"a": "<b>"}', "字" * 200, "'''"])
def test_a_title_is_short_and_plain(words: str) -> None:
    found = find_side_request(asked(("user", words), ("user", NEXTCHAT_TITLE)))
    assert found is not None
    assert 0 < len(found.answer) <= TITLE_SIZE
    assert found.answer.isprintable()


@pytest.mark.parametrize("head", HEADS)
def test_every_head_is_recognised(head: Any) -> None:
    found = find_side_request(asked((head.role, head.text), *([("user", TIDE)] if head.role == "system" else [])))
    assert found is not None
    assert found.kind == head.kind
