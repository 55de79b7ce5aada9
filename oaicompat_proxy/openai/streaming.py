"""Whether the answer is to be streamed, and with usage. The same for chats and plain completions.

Source: `openai-chat.md` 1.2: `stream_options` is only legal with `stream: true`. `include_obfuscation` is
accepted and has no effect: padding is the service's choice, and this proxy sends none.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from ..errors import InvalidRequest


class Streaming(NamedTuple):
    stream: bool
    include_usage: bool


def parse_streaming(body: Mapping[str, Any]) -> Streaming:
    """Raises InvalidRequest for options without a stream. `body` has been checked."""
    stream = bool(body.get("stream"))
    options = body.get("stream_options")
    if options is not None and not stream:
        raise InvalidRequest(
            "The 'stream_options' parameter is only allowed when 'stream' is enabled.", param="stream_options"
        )
    return Streaming(stream, bool(options and options.get("include_usage")))
