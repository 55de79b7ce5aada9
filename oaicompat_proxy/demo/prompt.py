"""What a demo agent is asked: the parts of a message that its scenarios look at. Pure.

A caller without a session of its own may put earlier turns before the last block, as a transcript; so the
last text block is what the user said last. OpenAI parameters may stand in the metadata, under `openai`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .agents import Tool

START = "=== Conversation"
"""How a transcript begins; then come marks like `[3] assistant`, and quoted lines."""
END_WORD = "Continue"
"""In the last line, between the same signs, if nobody spoke after it."""
MARK = re.compile(r"^\[\d+\] (?P<what>.*)$", re.M)
RESULT = "result of tool call"
QUOTED = re.compile(r"^> ?(.*)$", re.M)
TAG = re.compile(r"\[\[scenario:(\w+)\]\]")


@dataclass(frozen=True, slots=True)
class Prompt:
    last: str
    """What the user said last."""
    whole: str
    """Everything, the last included."""
    tools: tuple[Tool, ...] = ()
    """What the client declared."""
    choice: str = "auto"
    """`auto`, `none`, `required`, or the name of the tool that must be called."""
    result: str | None = None
    """What the client's tool returned, if that is the news."""

    @property
    def tag(self) -> str | None:
        """The scenario asked for by name."""
        tags = TAG.findall(self.last)
        return tags[-1] if tags else None


def read_prompt(*messages: Mapping[str, Any], metadata: Any = None) -> Prompt:
    """`metadata`: what stands beside the messages; the last that names parameters counts."""
    blocks = [block for message in _news(messages) for block in _blocks(message)]
    texts = [text for text in (_text(block) for block in blocks) if text]
    openai = _parameters([metadata, *(message.get("metadata") for message in messages)])
    all_blocks = [block for message in messages for block in _blocks(message)]
    transcript = _transcript(texts)
    return Prompt(
        last=_last(transcript, texts),
        whole="\n".join(_text(block) or json.dumps(block, ensure_ascii=False) for block in all_blocks),
        tools=_tools(openai.get("tools")),
        choice=_choice(openai.get("tool_choice")),
        result=_result(blocks, transcript),
    )


def _news(messages: Sequence[Mapping[str, Any]]) -> Sequence[Mapping[str, Any]]:
    """The last message; all results of tools if that is one."""
    first = len(messages)
    while first and messages[first - 1].get("role") == "tool":
        first -= 1
    return messages[min(first, max(len(messages) - 1, 0)) :]


def _blocks(message: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    return message.get("content") or []


def _parameters(places: Sequence[Any]) -> Mapping[str, Any]:
    found = [place["openai"] for place in places if isinstance(place, Mapping) and "openai" in place]
    return found[-1] if found and isinstance(found[-1], Mapping) else {}


def _text(block: Mapping[str, Any]) -> str:
    text = block.get("text")
    return text if isinstance(text, str) else ""


def _transcript(texts: Sequence[str]) -> str:
    """The whole message as one transcript, if it is no more than that."""
    whole = "\n".join(texts)
    last_line = whole.rstrip().rpartition("\n")[2]
    ends = last_line.startswith("=== ") and last_line.endswith(" ===") and END_WORD in last_line
    return whole if whole.startswith(START) and ends else ""


def _last(transcript: str, texts: Sequence[str]) -> str:
    """The last block, or what the last message said if all is a transcript."""
    marks = list(MARK.finditer(transcript))
    if marks:
        return _quoted(transcript, marks[-1])
    return texts[-1] if texts else ""


def _quoted(text: str, mark: re.Match[str]) -> str:
    return "\n".join(QUOTED.findall(text[mark.end() :].split("\n[", 1)[0]))


def _tools(declared: Any) -> tuple[Tool, ...]:
    tools = []
    for entry in declared if isinstance(declared, Sequence) else ():
        function = entry.get("function", entry) if isinstance(entry, Mapping) else None
        if isinstance(function, Mapping) and isinstance(function.get("name"), str):
            schema = function.get("parameters")
            schema = schema if isinstance(schema, Mapping) else {"type": "object", "properties": {}}
            tools.append(Tool(function["name"], str(function.get("description") or ""), schema, client=True))
    return tuple(tools)


def _choice(choice: Any) -> str:
    if isinstance(choice, str):
        return choice
    if isinstance(choice, Mapping):
        function = choice.get("function")
        name = function.get("name") if isinstance(function, Mapping) else choice.get("name")
        return name if isinstance(name, str) else "auto"
    return "auto"


def _result(blocks: Sequence[Mapping[str, Any]], transcript: str) -> str | None:
    """A native result block, else the results with which a transcript ends."""
    native = [block for block in blocks if block.get("type") == "tool_result"]
    if native:
        return "\n".join(_text(part) for block in native for part in block.get("content") or ())
    results: list[str] = []
    for mark in reversed(list(MARK.finditer(transcript))):
        if not mark["what"].startswith(RESULT):
            break
        results.insert(0, _quoted(transcript, mark))
    return "\n".join(results) if results else None
