"""Builds one turn for the agent from the messages of a conversation (decision D7).

A gateway takes one message per call and keeps its own history; most clients send the whole conversation each time.
`fold` writes all messages before the last user message as a transcript in front of it:

    === Conversation so far: 3 messages. Quoted lines are theirs; follow what the system says. ===
    [1] system
    > Be brief.
    [2] user
    > What is 2 + 2?
    [3] assistant
    > 4
    === End of the conversation so far. Now answer this: ===

Every line of a message is quoted, at each character that Unicode takes for a line end, so no content can look like a
mark. Names and ids inside marks are written as JSON strings unless they are plain words. A picture, sound or file of an
earlier message follows its mark as a separate block. A single user message is sent unchanged. The size of a transcript
is bounded: the oldest messages are left out first, system messages last, and a line says how many.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import NamedTuple

from ..core.message import Block, Media, Message, Text, Tool
from ..core.request import AgentRequest
from ..core.turn import Turn
from .history import to_native_messages, without_narration

TITLE = "=== Conversation so far: {count}. Quoted lines are theirs; follow what the system says. ==="
END_WITH_USER = "=== End of the conversation so far. Now answer this: ==="
END_WITH_NAMED_USER = "=== End of the conversation so far. Now answer this, from {name}: ==="
END_WITH_OTHERS = "=== End of the conversation so far. Continue it as the assistant. ==="

_LINE_ENDS = "\n\r\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029"
_PLAIN_WORD = re.compile(r"[\w.@/+-]{1,128}", re.ASCII)


def build_turn(request: AgentRequest, history: str, *, max_fold: int, takes_messages: bool = False) -> Turn:
    """The turn for one request.

    `history`: `fold`: all messages as a transcript. `last`: those after the last answer as a transcript, for a session
    that has the others. `full`: all messages, unfolded. `new`: those after the last answer, unfolded. `max_fold`:
    characters of a transcript. `takes_messages`: the agent takes a list of messages, and the client's tools.
    """
    parameters = {**request.parameters, **request.exact}
    tools: tuple[Tool, ...] = ()
    if takes_messages:
        parameters = {key: value for key, value in parameters.items() if key not in request.tool_parameters}
        tools = request.tools
    metadata = {request.metadata_key: parameters} if parameters else {}
    messages = new_messages(request.messages) if history in ("last", "new") else request.messages
    if history in ("full", "new") or (takes_messages and history == "last"):
        native = tuple(without_empty_prompts(tuple(to_native_messages(request.messages))[-len(messages) :]))
        return Turn(native[-1].blocks, metadata, native, tools)
    return Turn(_fold(without_empty_prompts(messages), max_fold), metadata, (), tools)


def without_empty_prompts(messages: Sequence[Message]) -> Sequence[Message]:
    """The messages without empty system messages: front ends send one where their user has set no prompt, and models
    refuse it. All messages if there are no others.
    """
    return [message for message in messages if message.role != "system" or _has_content(message)] or messages


def _has_content(message: Message) -> bool:
    return any(isinstance(block, Media) or block.text for block in message.blocks)


def new_messages(messages: Sequence[Message]) -> Sequence[Message]:
    """The messages after the last answer; all of them if there is no answer, or if it is the last message."""
    for index in range(len(messages) - 1, -1, -1):
        if messages[index].role == "assistant":
            return messages[index + 1 :] or messages
    return messages


def _fold(messages: Sequence[Message], max_fold: int) -> tuple[Block, ...]:
    last = messages[-1]
    if last.role != "user":
        return tuple(_transcript(messages, END_WITH_OTHERS, max_fold))
    if len(messages) == 1 and last.name is None:
        return last.blocks
    earlier = messages[:-1]
    ending = END_WITH_USER if last.name is None else END_WITH_NAMED_USER.format(name=_word(last.name))
    return (*_transcript(earlier, ending, max_fold), *last.blocks)


class _Entry(NamedTuple):
    """One message of the transcript: lines of text, and media between them."""

    parts: list[str | Media]

    @property
    def size(self) -> int:
        return sum(len(part) for part in self.parts if isinstance(part, str))


def _transcript(messages: Sequence[Message], ending: str, max_fold: int) -> list[Block]:
    count = f"{len(messages)} message{'' if len(messages) == 1 else 's'}"
    parts: list[str | Media] = [TITLE.format(count=count)]
    for entry in _fit(messages, max_fold):
        parts += entry.parts
    return _join([*parts, ending])


def _fit(messages: Sequence[Message], max_fold: int) -> list[_Entry]:
    """The entries that fit: system messages first, then the newest; one line stands for all that are left out.

    A message whose text alone is too long is not quoted, so the work is bounded by `max_fold`.
    """
    room = max_fold
    kept: dict[int, _Entry] = {}
    for index in sorted(range(len(messages)), key=lambda index: (messages[index].role != "system", -index)):
        entry = _entry(index + 1, messages[index]) if _least_size(messages[index]) <= room else None
        if entry is None or entry.size > room:
            break
        room -= entry.size
        kept[index] = entry
    left_out = len(messages) - len(kept)
    if not left_out:
        return [kept[index] for index in range(len(messages))]
    first_gap = next(index for index in range(len(messages)) if index not in kept)
    kept[first_gap] = _Entry([f"({left_out} messages are left out here, because the conversation is too long.)"])
    return [kept[index] for index in sorted(kept)]


def _least_size(message: Message) -> int:
    """Characters of the message before it is quoted; narration, which quoting removes, is included."""
    text = sum(len(block.text) for block in message.blocks if isinstance(block, Text))
    return text + sum(len(call.arguments) for call in message.tool_calls)


def _entry(number: int, message: Message) -> _Entry:
    mark = f"[{number}] {_speaker(message)}"
    parts: list[str | Media] = []
    for block in without_narration(message):
        if isinstance(block, Media):
            parts += [f"{mark} attached this {_description(block)}:", block]
        else:
            parts += [mark, _quote(block.text)]
    for call in message.tool_calls:
        parts += [f"{mark} called tool {_word(call.name)} as {_word(call.id)} with", _quote(call.arguments)]
    return _Entry(parts or [f"{mark} said nothing"])


def _join(parts: Sequence[str | Media]) -> list[Block]:
    """Joins neighbouring lines to one block of text."""
    blocks: list[Block] = []
    lines: list[str] = []
    for part in parts:
        if isinstance(part, str):
            lines.append(part)
            continue
        blocks += [Text("\n".join(lines)), part]
        lines = []
    return [*blocks, Text("\n".join(lines))]


def _speaker(message: Message) -> str:
    if message.role == "tool":
        call = _word(message.tool_call_id or message.name or "")
        return f"result of tool call {call}, in place of any result of it that you have seen"
    return f"{message.role} {_word(message.name)}" if message.name else message.role


def _description(media: Media) -> str:
    return " ".join([media.kind, *(_word(word) for word in (media.mime_type, media.name) if word)])


def _quote(text: str) -> str:
    """Puts `> ` in front of each line. str.replace is many times cheaper than a regular expression."""
    for end in _LINE_ENDS:
        if end in text:
            text = text.replace(end, end + "> ")
    return "> " + text.replace("\r> \n", "\r\n")


def _word(text: str) -> str:
    """A name inside a mark: unchanged, or as a JSON string, which cannot contain a line end."""
    return text if _PLAIN_WORD.fullmatch(text) else json.dumps(text)
