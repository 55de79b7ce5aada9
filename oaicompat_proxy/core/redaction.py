"""Texts of failures without stack traces and secrets."""

from __future__ import annotations

import re

LONGEST_TEXT = 500
"""Characters of the agent's own words that are passed on: enough for a reason, too few for a prompt."""


LONGEST_SEARCHED = 16 * 1024
"""Characters in which a meaning, a stack trace and secrets are looked for: what stands behind them is not told."""


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


def _beginning(text: str, secret: str) -> str:
    """As much as is looked at, without the secret, and without a word that is cut: it may be half a secret."""
    is_cut = len(text) > LONGEST_SEARCHED
    if is_cut:
        text = text[: LONGEST_SEARCHED + len(secret)]
    if secret:
        text = text.replace(secret, "[redacted]")
    return text[:LONGEST_SEARCHED].rsplit(None, 1)[0] if is_cut and not text.isspace() else text


def redact(text: str, *, secret: str = "") -> str:
    """The text without stack trace, secrets and line ends, and not longer than a reason has to be.

    `secret`: one that is known, whatever it looks like.
    """
    text = _beginning(text, secret)
    trace = _TRACE.search(text)
    if trace:
        text = text[: trace.start()]
    for pattern, replacement in _SECRETS:
        text = pattern.sub(replacement, text)
    return _shorten(" ".join(text.split()))


def _shorten(text: str) -> str:
    return text if len(text) <= LONGEST_TEXT else text[:LONGEST_TEXT] + "…"
