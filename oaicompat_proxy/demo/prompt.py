"""Parses the parts of a request that the scenarios look at: text, declared tools, tool choice, tool results. Pure.

The request may begin with earlier turns as a transcript, so the last text block is the user's last message. The
client's parameters are in the metadata, under the name of its API, which also says how a tool is declared.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .agents import Tool

TRANSCRIPT_START = "=== Conversation"
"""First words of a transcript. Headings like `[3] assistant` follow, each with quoted lines."""
TRANSCRIPT_END_WORD = "Continue"
"""Stands in the last line of a transcript, between `=== ` and ` ===`, if no message follows it."""
MESSAGE_HEADING = re.compile(r"^\[\d+\] (?P<author>.*)$", re.M)
RESULT_HEADING = "result of tool call"
PLAIN_CHOICES = {"any": "required", "none": "none"}
"""Anthropic's words for a choice that names no tool."""
APIS = ("openai", "anthropic")
"""The APIs whose parameters are read."""
QUOTED = re.compile(r"^> ?(.*)$", re.M)
SCENARIO_TAG = re.compile(r"\[\[scenario:(\w+)\]\]")


@dataclass(frozen=True, slots=True)
class Prompt:
    last: str
    """The user's last message."""
    whole: str
    """The text of all messages, including the last."""
    tools: tuple[Tool, ...] = ()
    """The tools that the client declared."""
    choice: str = "auto"
    """`auto`, `none`, `required`, or the name of the tool that must be called."""
    result: str | None = None
    """The result of the client's tool, if it is what was sent last."""

    @property
    def tag(self) -> str | None:
        """The scenario that the message asks for by name."""
        tags = SCENARIO_TAG.findall(self.last)
        return tags[-1] if tags else None

    def mentions(self, name: str) -> bool:
        """Whether the user's last message contains the name as a word."""
        return bool(re.search(rf"\b{re.escape(name)}\b", self.last))


def read_prompt(*messages: Mapping[str, Any], metadata: Any = None) -> Prompt:
    """`metadata`: of the request. If several metadata have parameters, the last is used."""
    blocks = [block for message in _latest_messages(messages) for block in _blocks(message)]
    texts = [text for text in (_text(block) for block in blocks) if text]
    parameters = _parameters([metadata, *(message.get("metadata") for message in messages)])
    all_blocks = [block for message in messages for block in _blocks(message)]
    transcript = _transcript(texts)
    return Prompt(
        last=_last(transcript, texts),
        whole="\n".join(_text(block) or json.dumps(block, ensure_ascii=False) for block in all_blocks),
        tools=_tools(parameters.get("tools")),
        choice=_choice(parameters.get("tool_choice")),
        result=_result(blocks, transcript),
    )


def _latest_messages(messages: Sequence[Mapping[str, Any]]) -> Sequence[Mapping[str, Any]]:
    """The last message, or all tool messages at the end."""
    first = len(messages)
    while first and messages[first - 1].get("role") == "tool":
        first -= 1
    return messages[min(first, max(len(messages) - 1, 0)) :]


def _blocks(message: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    return message.get("content") or []


def _parameters(places: Sequence[Any]) -> Mapping[str, Any]:
    found = [place[api] for place in places if isinstance(place, Mapping) for api in APIS if api in place]
    return found[-1] if found and isinstance(found[-1], Mapping) else {}


def _text(block: Mapping[str, Any]) -> str:
    text = block.get("text")
    return text if isinstance(text, str) else ""


def _transcript(texts: Sequence[str]) -> str:
    """The text, if all of it is one transcript; else an empty string."""
    text = "\n".join(texts)
    last_line = text.rstrip().rpartition("\n")[2]
    is_complete = last_line.startswith("=== ") and last_line.endswith(" ===") and TRANSCRIPT_END_WORD in last_line
    return text if text.startswith(TRANSCRIPT_START) and is_complete else ""


def _last(transcript: str, texts: Sequence[str]) -> str:
    """The last message of a transcript; without one, the last text block."""
    headings = list(MESSAGE_HEADING.finditer(transcript))
    if headings:
        return _quoted(transcript, headings[-1])
    return texts[-1] if texts else ""


def _quoted(text: str, heading: re.Match[str]) -> str:
    return "\n".join(QUOTED.findall(text[heading.end() :].split("\n[", 1)[0]))


def _tools(declared: Any) -> tuple[Tool, ...]:
    tools = []
    for entry in declared if isinstance(declared, Sequence) else ():
        function = entry.get("function", entry) if isinstance(entry, Mapping) else None
        if isinstance(function, Mapping) and isinstance(function.get("name"), str):
            schema = function.get("parameters", function.get("input_schema"))
            schema = schema if isinstance(schema, Mapping) else {"type": "object", "properties": {}}
            tools.append(Tool(function["name"], str(function.get("description") or ""), schema, client=True))
    return tuple(tools)


def _choice(choice: Any) -> str:
    if isinstance(choice, str):
        return choice
    if isinstance(choice, Mapping):
        function = choice.get("function")
        name = function.get("name") if isinstance(function, Mapping) else choice.get("name")
        return name if isinstance(name, str) else PLAIN_CHOICES.get(str(choice.get("type")), "auto")
    return "auto"


def _result(blocks: Sequence[Mapping[str, Any]], transcript: str) -> str | None:
    """The text of native result blocks; without any, the results at the end of a transcript."""
    native = [block for block in blocks if block.get("type") == "tool_result"]
    if native:
        return "\n".join(_text(part) for block in native for part in block.get("content") or ())
    results: list[str] = []
    for heading in reversed(list(MESSAGE_HEADING.finditer(transcript))):
        if not heading["author"].startswith(RESULT_HEADING):
            break
        results.insert(0, _quoted(transcript, heading))
    return "\n".join(results) if results else None
