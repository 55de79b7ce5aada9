"""How clients of an API repeat a request that has no `Idempotency-Key`."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import NamedTuple


class RetryKey(NamedTuple):
    """`content`: bytes that are equal in a request and its retries, and in no other request of the same caller."""

    content: bytes
    stream: bool | None = None
    """Whether this request wants a stream, if `content` does not contain that; else None."""
    failures_only: bool = False
    """Only an equal request directly after a failure counts as a retry; later it may be a new request."""
    failed_streams: bool = False
    """With `failures_only`: a failure in mid-stream counts, too."""


RetryKeyReader = Callable[[bytes, Mapping[str, str], int], RetryKey | None]
"""A request's body, its headers, and the maximum of values and keys in the body → its key. None: nothing in the request
identifies it. Raises nothing.
"""


class RetryRules(NamedTuple):
    """How clients of an API repeat a request that has no `Idempotency-Key`."""

    read_key: RetryKeyReader
    convert: Callable[[bytes, bool], bytes] | None = None
    """A complete answer, and whether a stream is wanted → the same answer as a stream or as one body."""
    max_silence: float = math.inf
    """Seconds without a byte after which clients break the connection of an answer that is not streamed; white space
    keeps it open. A failure behind white space breaks the body off, and is a status for the client's retry, so a finite
    value needs a `read_key` that names every request.
    """
    header: str = ""
    """Only requests with this header can have a key; empty: all can. Saves the others the search."""
