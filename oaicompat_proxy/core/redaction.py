"""Removes stack traces and secrets from texts of failures."""

from __future__ import annotations

import re

MAX_TEXT = 500
"""Characters of the agent's own text that are passed on: enough for a reason, too few for a prompt."""

MAX_SEARCHED = 16 * 1024
"""Characters of a text that are searched for a cause, a stack trace and secrets; the rest is dropped."""

_TRACE = re.compile(r"\n[^\S\n]*(at |File \"|Traceback )|Traceback \(most recent call last\)")

_SECRETS = (
    (re.compile(r"\b((sk|pk|rk|ghp|gho|xox[a-z])[-_]|AKIA|AIza)[-_A-Za-z0-9*]{8,}"), "[redacted]"),
    (re.compile(r"(?i)\b(bearer)\s+[^\s\"',;]+"), r"\1 [redacted]"),
    (re.compile(r"\b((?i:basic))\s+(?=[a-z]*[A-Z0-9+/=])[A-Za-z0-9+/]{8,}={0,2}"), r"\1 [redacted]"),
    (
        re.compile(r"(?i)\b((?:api[-_ ]?)?key|token|secret|password)(\"?\s*[=:]\s*\"?)[^\s\"',;&]+"),
        r"\1\2[redacted]",
    ),
    (re.compile(r"://[^/@\s]+@"), "://[redacted]@"),
    (re.compile(r"\b[A-Za-z0-9+/_-]{40,}={0,2}"), "[redacted]"),
)


def searched_part(text: str, secret: str) -> str:
    """The first MAX_SEARCHED characters without `secret`. A word cut by the bound is dropped: it may hold a secret."""
    is_cut = len(text) > MAX_SEARCHED
    if is_cut:
        text = text[: MAX_SEARCHED + len(secret)]
    if secret:
        text = text.replace(secret, "[redacted]")
    return text[:MAX_SEARCHED].rsplit(None, 1)[0] if is_cut and not text.isspace() else text


def redact(text: str, *, secret: str = "") -> str:
    """The text on one line, without stack trace and secrets, and with at most MAX_TEXT characters.

    `secret`: a text that is removed, too; empty for none.
    """
    text = searched_part(text, secret)
    trace = _TRACE.search(text)
    if trace:
        text = text[: trace.start()]
    for pattern, replacement in _SECRETS:
        text = pattern.sub(replacement, text)
    return shorten(" ".join(text.split()))


def shorten(text: str) -> str:
    return text if len(text) <= MAX_TEXT else text[:MAX_TEXT] + "…"
