"""Parameters of OpenAI's APIs that an agent run cannot fulfil.

Each endpoint has a table: for each parameter the rejected values, and the error. All other values mean what every run
does anyway (`n: 1`, `logprobs: false`), so they are not passed on to the agent.

Source: decision D3 (one run is one choice); codes as in `api/openai/PROTOCOL.md`, "Bad requests".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ...core.errors import InvalidRequest


@dataclass(frozen=True, slots=True)
class UnsupportedParameter:
    asked: Callable[[Any], bool]
    """Whether this value, which is not null, cannot be fulfilled."""
    code: str
    message: str


def _whatever(value: Any) -> bool:
    return True


def _above_zero(value: int) -> bool:
    return value > 0


def _above_one(value: int) -> bool:
    return value > 1


def _names_more_than_text(modalities: list[str]) -> bool:
    return any(each != "text" for each in modalities)


def _parameter(name: str, asked: Callable[[Any], bool], reason: str) -> UnsupportedParameter:
    message = f"Unsupported parameter: '{name}' is not supported: {reason}"
    return UnsupportedParameter(asked, "unsupported_parameter", message)


def _value(name: str, asked: Callable[[Any], bool], reason: str) -> UnsupportedParameter:
    return UnsupportedParameter(asked, "unsupported_value", f"Unsupported value: '{name}' {reason}")


_ONE_ANSWER = "must be 1: an agent run gives one answer."
_NO_LOGPROBS = "an agent run has no log probabilities."
_ONLY_TEXT = "an agent run answers in text."

IN_CHAT: Mapping[str, UnsupportedParameter] = {
    "n": _value("n", _above_one, _ONE_ANSWER),
    "logprobs": _parameter("logprobs", bool, _NO_LOGPROBS),
    "top_logprobs": _parameter("top_logprobs", _above_zero, f"it needs 'logprobs', and {_NO_LOGPROBS}"),
    "modalities": _value("modalities", _names_more_than_text, f"supports only 'text': {_ONLY_TEXT}"),
    "audio": _parameter("audio", _whatever, _ONLY_TEXT),
    "moderation": _parameter("moderation", _whatever, "an agent's answer carries no moderation scores."),
}

IN_COMPLETION: Mapping[str, UnsupportedParameter] = {
    "n": IN_CHAT["n"],
    "best_of": _value("best_of", _above_one, _ONE_ANSWER),
    "logprobs": _parameter("logprobs", _whatever, _NO_LOGPROBS),
    "suffix": _parameter("suffix", bool, "an agent answers a message, it does not fill a gap in a text."),
}

INSTEAD_OF_INPUT: Mapping[str, UnsupportedParameter] = {
    "prompt": _parameter("prompt", _whatever, "this server stores no prompts. Send 'instructions' and 'input'."),
}
"""With a stored prompt a request needs no `input`, so these are refused before a missing `input` is."""

IN_RESPONSES: Mapping[str, UnsupportedParameter] = {
    "n": IN_CHAT["n"],
    **INSTEAD_OF_INPUT,
    "top_logprobs": _parameter("top_logprobs", _above_zero, _NO_LOGPROBS),
    "moderation": IN_CHAT["moderation"],
}


def refuse_unsupported(body: Mapping[str, Any], refusals: Mapping[str, UnsupportedParameter]) -> None:
    """Raises InvalidRequest for the first parameter, as the client ordered them. `body` has been checked, where the
    table looks at values.
    """
    if refusals.keys().isdisjoint(body):
        return
    for param, value in body.items():
        refusal = refusals.get(param)
        if refusal is not None and value is not None and refusal.asked(value):
            raise InvalidRequest(refusal.message, param=param, code=refusal.code)
