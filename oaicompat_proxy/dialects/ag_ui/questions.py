"""Finds the question of an interrupt, its tool and arguments, wherever a framework puts them.

Source: AG-UI 1.0, `Interrupt.message`, `toolCallId` and `metadata`; ag-ui-langgraph 0.0.47 (`metadata.langgraph.raw`
and LangChain's `action_requests`), @ag-ui/mastra 1.1.2 (`metadata.mastra`), agent-framework-ag-ui 1.7
(`metadata.agent_framework`), ag-ui-adk 0.11 (`metadata.adk`), ag-ui-strands 1.0 (`metadata.reason`) and
ag-ui-crewai 1.0 (`metadata.crewai`).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, NamedTuple

MAX_LEVELS = 6
"""Levels of nested metadata that are searched, at most."""
MAX_QUESTION = 4096
"""Characters of a question that is shown as JSON, at most."""
MAX_TOOLS = 32
"""Tools of one interrupt among which duplicates are searched, at most."""

TEXT_KEYS = ("message", "question", "prompt", "hint", "description", "title", "text")
PAYLOAD_KEYS = ("suspendPayload", "raw", "reason", "output", "payload", "value")
"""Keys whose value is the question if there is no text."""

_NAMES = ("toolName", "tool_name", "name", "action", "tool")
_ARGUMENTS = ("args", "arguments", "toolInput", "tool_input", "input", "parameters")
_NEVER_QUESTIONS = {*_ARGUMENTS, "responseSchema", "response_schema", "resumeSchema", "resume_schema", "schema"}
"""Keys whose text is never the question: a tool's arguments, and schemas of the answer."""


class Question(NamedTuple):
    """The question of an interrupt; fields that no framework filled in are empty."""

    text: str = ""
    name: str = ""
    """The tool, or several separated by commas; empty if none is named."""
    arguments: Any = None
    """The arguments of one tool, or a list with those of each tool."""


def read_question(*places: Any) -> Question:
    """The first text, and all tools of the first place that names one. Outer objects are searched first."""
    opened = [_open(place) for place in places]
    tools = next(filter(None, map(_find_tools, opened)), [])
    name = ", ".join(name for name, _ in tools)
    text = next((text for place in opened for text in _find_texts(place)), "")
    text = text or next((text for place in opened for text in _find_payloads(place)), "")
    text = text or (f"Allow {name}?" if name else next((_write(place) for place in opened if _is_filled(place)), ""))
    arguments = [its_own for _, its_own in tools]
    return Question(text, name, arguments if len(tools) > 1 else next(iter(arguments), None))


def _open(place: Any) -> Any:
    """Parses JSON text, because some frameworks write their value as a string."""
    if isinstance(place, str) and place[:1] in ("{", "["):
        try:
            return json.loads(place)
        except (ValueError, RecursionError):
            return place
    return place


def _walk(place: Any) -> Iterator[dict[str, Any]]:
    """All nested objects, the outer ones first."""
    level = [place]
    for _ in range(MAX_LEVELS):
        objects = [each for each in level if isinstance(each, dict)]
        yield from objects
        inside = [value for each in objects for key, value in each.items() if key not in _NEVER_QUESTIONS]
        listed = [value for each in level if isinstance(each, list) for value in each]
        level = [value for value in (*inside, *listed) if isinstance(value, dict | list)]


def _find_tools(place: Any) -> list[tuple[str, Any]]:
    """All tools with their arguments, without the duplicates that some frameworks send."""
    tools: list[tuple[str, Any]] = []
    for each in _walk(place):
        name = next((each[key] for key in _NAMES if isinstance(each.get(key), str) and each[key]), "")
        key = next((key for key in _ARGUMENTS if key in each), None)
        if name and key is not None and (name, _open(each[key])) not in tools[-MAX_TOOLS:]:
            tools.append((name, _open(each[key])))
    return tools


def _find_texts(place: Any) -> Iterator[str]:
    if isinstance(place, str) and place.strip():
        yield place
    for each in _walk(place):
        yield from (each[key] for key in TEXT_KEYS if isinstance(each.get(key), str) and each[key].strip())


def _find_payloads(place: Any) -> Iterator[str]:
    for each in _walk(place):
        found = (each[key] for key in PAYLOAD_KEYS if _is_filled(each.get(key)))
        yield from (_write(value) for value in found if not _find_tools(value))


def _is_filled(value: Any) -> bool:
    return value is not None and value not in ("", {}, [])


def _write(value: Any) -> str:
    """A value as text for people. An object with one text is that text."""
    if isinstance(value, dict) and len(value) == 1:
        (value,) = value.values()
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)[:MAX_QUESTION]
