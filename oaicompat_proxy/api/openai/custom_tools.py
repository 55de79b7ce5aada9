"""Custom tools, whose input is free text. An agent gets them as functions with one argument, `input`.

Source: OpenAI API description, `CustomToolChatCompletions`, `CustomToolParam`.
"""

from __future__ import annotations

import json

from ...core import json_text

FREE_TEXT = {"type": "object", "properties": {"input": {"type": "string"}}, "required": ["input"]}
"""The schema of the arguments that an agent gives a custom tool."""


def to_arguments(text: str) -> str:
    """The arguments with which the agent made a call, from the text that its client sends back."""
    return json_text.encode({"input": text}).decode()


def free_text(arguments: str) -> str:
    """The input of a custom tool, from the arguments that the agent gave."""
    try:
        parsed = json.loads(arguments)
    except (ValueError, RecursionError):
        return arguments
    if isinstance(parsed, dict) and parsed.keys() == {"input"} and isinstance(parsed["input"], str):
        return parsed["input"]
    return arguments
