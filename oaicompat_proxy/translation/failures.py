"""Maps an agent's failure to the error that the client gets.

A gateway passes on only the text of an exception of its own or of its model provider, so the cause is recognised by the
wording of providers. The client gets this text without stack traces and without anything that looks like a secret.
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
from ..core.redaction import redact, searched_part, shorten


class Rule(NamedTuple):
    pattern: re.Pattern[str]
    error: type[ProxyError]
    introduction: str
    """Stands in front of the agent's own text."""


def _rule(pattern: str, error: type[ProxyError], introduction: str) -> Rule:
    return Rule(re.compile(pattern, re.IGNORECASE), error, introduction)


RULES = (
    _rule(
        r"context.?(length|size|window)|maximum context|maximum prompt length|(prompt|input) is too long"
        r"|input token count.{0,40}exceeds|too many (input )?tokens(?!, please wait)|exceeded model token limit"
        r"|reduce the length of the messages",
        ContextTooLong,
        # client libraries search the text for these phrases
        "The prompt is too long, it exceeds the context window of the agent's model (context_length_exceeded)",
    ),
    _rule(
        r"insufficient.?quota|exceeded your current quota|credit balance",
        AgentQuotaExceeded,
        "The agent's model provider has no credit left for it",
    ),
    _rule(
        r"rate.?limit|too.?many.?requests|\b429\b|throttl|resource.?exhausted|quota.?exceeded",
        AgentRateLimited,
        "The agent's model provider limits its rate",
    ),
    _rule(
        r"overloaded|at capacity|\b529\b|\b503\b|service.?unavailable",
        AgentOverloaded,
        "The agent's model provider is overloaded",
    ),
    _rule(
        r"content.?filter|content.?policy|content management policy",
        AgentContentFiltered,
        "The agent's model provider rejected the prompt",
    ),
    _rule(
        r"api.?key|unauthori[sz]ed|authentication|permission.?denied|\b401\b|\b403\b",
        AgentUnauthorized,
        "The agent's model provider refused the agent's own credentials; yours are fine",
    ),
    _rule(r"time[d-]?.?out|deadline.?exceeded", AgentTimeout, "The agent ran out of time"),
)
"""The first match counts."""

_FALLBACK = Rule(re.compile(""), AgentError, "The agent failed")


def error_of_run(event: RunFailed, *, model: str, secret: str = "") -> ProxyError:
    """The error of a run that failed. `model`: the name that the client used. `secret`: as in `redact`."""
    if event.unknown_app:
        return model_not_found(model)
    if event.aborted:
        return AgentAborted("The agent's run was ended from outside before it was done.")
    return classify(event.message, secret=secret)


def confirmation_denied(event: ConfirmationRequired) -> AgentError:
    """The error of a run that waits for a confirmation that this server does not request from clients."""
    what, advice = f"a confirmation before it runs its tool '{event.name}'", "run this tool"
    if not event.name:
        what, advice = "a human's answer", "go on"
    return AgentError(
        f"The agent waits for {what}, but this server asks its clients for none; let the agent {advice} without asking."
    )


def model_not_found(model: str) -> ModelNotFound:
    """The error has OpenAI's wording, which client libraries recognise."""
    return ModelNotFound(f"The model `{shorten(model)}` does not exist or you do not have access to it.")


def classify(message: str, *, secret: str = "") -> ProxyError:
    """The error for the text of a failure. `secret`: as in `redact`."""
    message = searched_part(message, secret)
    rule = next((rule for rule in RULES if rule.pattern.search(message)), _FALLBACK)
    text = redact(message, secret=secret)
    return rule.error(f"{rule.introduction}: {text}" if text else f"{rule.introduction}.")
