"""A request of the older completions endpoint, as far as an agent can answer it: one prompt, one text.

Source: `api/openai/PROTOCOL.md`, "Completions". A prompt is one string (or an array of one); the service's other forms
(several prompts, token numbers) have no meaning for an agent, and neither has an absent prompt.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ....core.errors import InvalidRequest
from ....core.exact_json import take_exact
from ..json_body import MAX_VALUES, parse_json
from ..schema.requests import COMPLETION
from ..stream_options import parse_streaming
from ..unsupported import IN_COMPLETION, refuse_unsupported
from ..validation import check, check_text, invalid_type


@dataclass(frozen=True, slots=True)
class CompletionRequest:
    model: str
    """"" if the client leaves the choice to the proxy."""
    prompt: str
    stream: bool
    include_usage: bool
    echo: bool
    parameters: Mapping[str, Any]
    """What else the client sent and is not null, unknown fields too; as `JsonText` where no value holds it."""


MAX_TEXT = 8 * 1024 * 1024

_USED = frozenset({"model", "prompt", "stream", "stream_options", "echo", *IN_COMPLETION})


def parse_completion(body: bytes, *, max_values: int = MAX_VALUES, max_text: int = MAX_TEXT) -> CompletionRequest:
    """`max_text`: bytes of the body. Raises InvalidRequest for any fault, and nothing but that, whatever the bytes."""
    check_text(len(body), max_text, "prompt")
    completion = parse_json(body, max_values=max_values)
    exact = {} if completion.keys() <= _USED else take_exact(body, completion)
    check(COMPLETION, completion)
    refuse_unsupported(completion, IN_COMPLETION)
    stream, include_usage = parse_streaming(completion)
    return CompletionRequest(
        model=completion.get("model") or "",
        prompt=_parse_prompt(completion["prompt"]),
        stream=stream,
        include_usage=include_usage,
        echo=bool(completion.get("echo")),
        parameters={k: exact.get(k, v) for k, v in completion.items() if v is not None and k not in _USED},
    )


def _parse_prompt(prompt: str | list[Any]) -> str:
    if isinstance(prompt, str):
        return prompt
    first = prompt[0]
    if type(first) in (int, list):
        raise _unsupported("does not support token numbers: an agent reads text.")
    if not isinstance(first, str):
        raise invalid_type("prompt[0]", "a string", first)
    if len(prompt) > 1:
        raise _unsupported("does not support several prompts: an agent run gives one answer.")
    return first


def _unsupported(reason: str) -> InvalidRequest:
    return InvalidRequest(f"Unsupported value: 'prompt' {reason}", param="prompt", code="unsupported_value")
