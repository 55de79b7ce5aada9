"""Parses a request of the older completions endpoint: one prompt, which an agent answers with one text.

Source: `api/openai/PROTOCOL.md`, "Completions". A prompt is one string, or an array with one string. OpenAI's other
forms (several prompts, token numbers, no prompt) have no meaning for an agent.
"""

from __future__ import annotations

from typing import Any

from ....core.errors import InvalidRequest
from ....core.message import Message, Text
from ....core.request import AgentRequest, RequestLimits
from ...json_body import parse_json
from ...parameters import NO_TOOLS, find_parameters, with_exact
from ...protocol import ParsedBody
from ..invalid_requests import invalid_type
from ..parameters import METADATA_KEY
from ..schema.requests import COMPLETION
from ..stream_options import parse_streaming
from ..unsupported import IN_COMPLETION, refuse_unsupported
from ..validation import check, check_numbers, check_text

_USED = frozenset({"model", "prompt", "stream", "stream_options", "echo", *IN_COMPLETION})


def read(body: bytes, limits: RequestLimits) -> ParsedBody:
    """Raises InvalidRequest for a body that is no JSON object, or one of too many values."""
    check_text(len(body), limits.text, "prompt")
    completion = parse_json(body, max_values=limits.values)
    return with_exact(body, completion, _USED)


def build_request(body: ParsedBody) -> AgentRequest:
    """Raises InvalidRequest for any error in the body, and nothing else."""
    completion = body.members
    check(COMPLETION, completion)
    refuse_unsupported(completion, IN_COMPLETION)
    stream, include_usage = parse_streaming(completion)
    prompt = _parse_prompt(completion["prompt"])
    parameters, exact = find_parameters(body, _USED, NO_TOOLS)
    check_numbers(exact)
    return AgentRequest(
        model=completion.get("model") or "",
        messages=(Message("user", (Text(prompt),)),),
        stream=stream,
        tool_names=frozenset(),
        parameters=parameters,
        metadata_key=METADATA_KEY,
        exact=exact,
        form={"include_usage": include_usage, "echo": prompt if completion.get("echo") else ""},
        conversational=False,
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
