"""What an agent's failure means to a client, read from its words.

A gateway passes on only the text of what its model provider or its own code threw, so the meaning is recognised
from the wordings that providers use. The text itself goes to the client too, without what looks like a secret
and without stack traces.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from ..core.errors import (
    AgentAborted,
    AgentContentFiltered,
    AgentError,
    AgentOverloaded,
    AgentQuotaExceeded,
    AgentRateLimited,
    AgentTimeout,
    AgentUnauthorized,
    ContextTooLong,
    ModelNotFound,
    ProxyError,
)
from ..core.events import ConfirmationRequired, RunFailed
from ..core.redaction import _beginning, _shorten, redact


class Meaning(NamedTuple):
    words: re.Pattern[str]
    error: type[ProxyError]
    introduction: str


def _meaning(words: str, error: type[ProxyError], introduction: str) -> Meaning:
    return Meaning(re.compile(words, re.IGNORECASE), error, introduction)


MEANINGS = (
    _meaning(
        r"context.?length|maximum context|context.?window|prompt is too long|too many (input )?tokens",
        ContextTooLong,
        # these phrases are what client libraries look for in the text
        "The prompt is too long, it exceeds the context window of the agent's model (context_length_exceeded)",
    ),
    _meaning(
        r"insufficient.?quota|exceeded your current quota|credit balance",
        AgentQuotaExceeded,
        "The agent's model provider has no credit left for it",
    ),
    _meaning(
        r"rate.?limit|too many requests|\b429\b",
        AgentRateLimited,
        "The agent's model provider limits its rate",
    ),
    _meaning(
        r"overloaded|at capacity|\b529\b|\b503\b|service unavailable",
        AgentOverloaded,
        "The agent's model provider is overloaded",
    ),
    _meaning(
        r"content.?filter|content.?policy|content management policy",
        AgentContentFiltered,
        "The agent's model provider rejected the prompt",
    ),
    _meaning(
        r"api.?key|unauthori[sz]ed|authentication|permission.?denied|\b401\b|\b403\b",
        AgentUnauthorized,
        "The agent's model provider refused the agent's own credentials; yours are fine",
    ),
    _meaning(r"time[d-]?.?out|deadline exceeded", AgentTimeout, "The agent ran out of time"),
)
"""First match wins."""

_FALLBACK = Meaning(re.compile(""), AgentError, "The agent failed")


def from_run(event: RunFailed, *, model: str, secret: str = "") -> ProxyError:
    """The error of a run that failed. `model`: the name that the client used. `secret`: as in `redact`."""
    if event.unknown_app:
        return unknown_model(model)
    if event.aborted:
        return AgentAborted("The agent's run was ended from outside before it was done.")
    return classify(event.message, secret=secret)


def unanswered(event: ConfirmationRequired) -> AgentError:
    """The error of a run that waits for a human whom nobody asks."""
    what, advice = f"a confirmation before it runs its tool '{event.name}'", "run this tool"
    if not event.name:
        what, advice = "a human's answer", "go on"
    return AgentError(
        f"The agent waits for {what}, and there is nobody to give it; let the agent {advice} without asking."
    )


def unknown_model(model: str) -> ModelNotFound:
    """Worded as OpenAI words it."""
    return ModelNotFound(f"The model `{_shorten(model)}` does not exist or you do not have access to it.")


def classify(message: str, *, secret: str = "") -> ProxyError:
    """The error that says what this text of the agent's means. `secret`: as in `redact`."""
    message = _beginning(message, secret)
    meaning = next((meaning for meaning in MEANINGS if meaning.words.search(message)), _FALLBACK)
    words = redact(message, secret=secret)
    return meaning.error(f"{meaning.introduction}: {words}" if words else f"{meaning.introduction}.")
