"""Recognises the auxiliary requests of chat front ends, and answers them without the agent.

With prompts of its own, a front end asks the model for a title, tags, follow-up questions or a completion of the user's
input. Others send one short message as a health check. A prompt is recognised by its fixed first words in the first
system message or the last user message, and only if the client declares no tools. Messages that merely mention titles
go to the agent.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

from ..core.message import Message, Text
from ..core.request import AgentRequest
from .confirmations import find_result

Kind = Literal["title", "tags", "follow_ups", "autocomplete", "health"]


class SideRequest(NamedTuple):
    """`answer`: the text in the form that the prompt asks for."""

    kind: Kind
    answer: str


class _Head(NamedTuple):
    role: Literal["system", "user"]
    text: str
    """The first words of the message, without white space in front."""
    kind: Kind


HEADS = (
    # Open WebUI 0.5 to 0.12, backend/open_webui/config.py: DEFAULT_TITLE_GENERATION_PROMPT_TEMPLATE,
    # DEFAULT_TAGS_…, DEFAULT_FOLLOW_UP_…, DEFAULT_AUTOCOMPLETE_GENERATION_PROMPT_TEMPLATE
    _Head("user", "### Task:\nGenerate a concise, 3-5 word title with an emoji summarizing the chat history.", "title"),
    _Head("user", "### Task:\nGenerate a concise title summarizing the chat history.", "title"),
    _Head("user", "Create a concise, 3-5 word title with an emoji as a title for the chat history", "title"),
    _Head("user", "### Task:\nGenerate 1-3 broad tags categorizing the main themes of the chat history", "tags"),
    _Head("user", "### Task:\nSuggest 3-5 relevant follow-up questions or prompts that the user might", "follow_ups"),
    _Head("user", "### Task:\nPredict 3-5 useful messages this user might naturally send next", "follow_ups"),
    _Head("user", "### Task:\nYou are an autocompletion system. Continue the text in `<text>`", "autocomplete"),
    # LibreChat, @librechat/agents src/utils/title.ts: defaultCompletionPrompt
    _Head("user", "Provide a concise, 5-word-or-less title for the conversation", "title"),
    # NextChat, app/locales/en.ts: Prompt.Topic
    _Head("user", "Please generate a four to five word title summarizing our conversation without any", "title"),
    # Chatbox, src/shared/prompts: nameConversation
    _Head("user", "Based on the chat history, give this conversation a name.", "title"),
    # LobeChat, packages/prompts: chainSummaryTitle
    _Head("system", "You are a professional conversation summarizer. Generate a concise title that", "title"),
    # opencode, packages/opencode/src/agent/prompt/title.txt
    _Head("system", "You are a title generator. You output ONLY a thread title. Nothing else.", "title"),
    # Crush, internal/agent/templates/title.md
    _Head("system", "You will generate a short title based on the first message a user begins a", "title"),
)

HEALTH_TEXT = 64
"""Characters of a health check's message, at most."""
HEALTH_TOKENS = 5
HEALTH_WORD = "OK"
NO_TITLE = "New chat"
TITLE_WORDS = 6
TITLE_SIZE = 50
"""Characters."""
READ = 8192
"""Characters of a message that are searched for the words of a title."""

_EMPTY: Mapping[Kind, str] = {
    "tags": '{"tags": []}',
    "follow_ups": '{"follow_ups": []}',
    "autocomplete": '{"text": ""}',
}
_TOKEN_LIMITS = ("max_tokens", "max_completion_tokens", "max_output_tokens")
_CONVERSATION = re.compile(r"<chat_history>|\nConversation:|\nHere's the conversation:\s*```")
"""The text of a prompt directly before the conversation."""
_INTRODUCTION = re.compile(r"Generate a (?:concise )?title for (?:this conversation|the following content):")
_SPEAKER = re.compile(r"<user>|(?:user|human) ?:", re.IGNORECASE)
_NEXT_SPEAKER = re.compile(r"\n(?:</?(?:user|assistant|chat_history)>|(?:assistant|ai|user|human) ?:)", re.IGNORECASE)
_SESSION = "<session>"
_NO_TITLE_CHARACTERS = re.compile(r"[\x00-\x20\x7f\"'`*#<>{}\[\]|\\\u2028\u2029]+")
_JSON_FORM = '\nJSON format: { "title":'
_SCHEMAS = (
    ("response_format", "json_schema", "schema"),
    ("text", "format", "schema"),
    ("output_config", "format", "schema"),
)
"""The path of the answer's JSON schema in the parameters of each API."""


def find_side_request(asked: AgentRequest) -> SideRequest | None:
    """The recognised request with its answer; None if the agent is to answer."""
    if asked.tools or asked.tool_names or not asked.conversational or not asked.messages:
        return None
    if find_result(asked.messages, asked.tool_names) is not None:  # the rest of a run, which no budget refuses
        return None
    if _is_health_check(asked):
        return SideRequest("health", HEALTH_WORD)
    first, last = asked.messages[0], asked.messages[-1]
    system = _text_of(first).lstrip() if first.role == "system" else ""
    user = _text_of(last).lstrip() if last.role == "user" else ""
    for role, text, kind in HEADS:
        if (system if role == "system" else user).startswith(text):
            return SideRequest(kind, _EMPTY.get(kind) or _title(asked, user, "" if role == "system" else text))
    if user.startswith(_SESSION) and _asks_for_title(asked.parameters):  # Claude Code
        words = user[len(_SESSION) : READ].partition("</session>")[0]
        return SideRequest("title", _json_title(_shorten(words)))
    return None


def _is_health_check(asked: AgentRequest) -> bool:
    limit = next((asked.parameters[name] for name in _TOKEN_LIMITS if name in asked.parameters), None)
    if type(limit) is not int or not 1 <= limit <= HEALTH_TOKENS or len(asked.messages) != 1:
        return False
    (message,) = asked.messages
    if message.role != "user" or not all(isinstance(block, Text) for block in message.blocks):
        return False
    return len(_text_of(message)) <= HEALTH_TEXT


def _text_of(message: Message) -> str:
    return "".join(block.text for block in message.blocks if isinstance(block, Text))


def _title(asked: AgentRequest, user: str, head: str) -> str:
    """A title in the requested form: JSON, or the title alone. `head`: the first words of the prompt if the user's
    message is the prompt, else empty.
    """
    found = _CONVERSATION.search(user) if head else None
    if found is not None:
        prompt, words = user[: found.start()], user[found.end() :]
    else:
        prompt, words = (head, _first_words(asked)) if head else ("", user)
    title = _shorten(_words_of_user(words[:READ]))
    return _json_title(title) if _JSON_FORM in prompt or _asks_for_title(asked.parameters) else title


def _json_title(title: str) -> str:
    return json.dumps({"title": title}, ensure_ascii=False)


def _first_words(asked: AgentRequest) -> str:
    """The text of the first user message before the prompt."""
    return next((_text_of(message) for message in asked.messages[:-1] if message.role == "user"), "")


def _words_of_user(words: str) -> str:
    """The words of the first speaker if the text is a transcript, else the whole text."""
    for opening in (_INTRODUCTION, _SPEAKER):
        words = words.lstrip()
        if (found := opening.match(words)) is not None:
            words = words[found.end() :]
    following = _NEXT_SPEAKER.search(words)
    return words if following is None else words[: following.start()]


def _shorten(words: str) -> str:
    title = ""
    for word in _NO_TITLE_CHARACTERS.sub(" ", words).split()[:TITLE_WORDS]:
        longer = f"{title} {word}" if title else word[:TITLE_SIZE]
        if len(longer) > TITLE_SIZE:
            break
        title = longer
    return title or NO_TITLE


def _asks_for_title(parameters: Mapping[str, Any]) -> bool:
    """Whether the request's JSON schema requires `title` and no other property."""
    for place in _SCHEMAS:
        schema: Any = parameters
        for name in place:
            schema = schema.get(name) if isinstance(schema, Mapping) else None
        if isinstance(schema, Mapping):
            properties = schema.get("properties")
            return isinstance(properties, Mapping) and "title" in properties and schema.get("required") == ["title"]
    return False
