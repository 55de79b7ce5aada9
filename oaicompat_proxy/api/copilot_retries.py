"""Recognises retries of GitHub Copilot CLI, which speaks Chat Completions, Responses and Messages.

It repeats a stream that failed with an equal body, up to five times in 18 seconds; after a status with
`x-should-retry: false` it repeats nothing. Nothing names a request, but each has a header of Copilot's.

Source: measured with `@github/copilot` 1.0.102.
"""

from __future__ import annotations

from collections.abc import Mapping

from .retry_rules import RetryKey, RetryRules

INITIATOR = "x-initiator"
"""`user` or `agent`: who causes the request."""


def read_retry_key(body: bytes, headers: Mapping[str, str], max_values: int) -> RetryKey | None:
    """The key of a request of Copilot's; None for other clients."""
    return RetryKey(body, failures_only=True, failed_streams=True) if INITIATOR in headers else None


COPILOT_ONLY = RetryRules(read_retry_key, header=INITIATOR)
"""For an API that recognises no other client's retries."""
