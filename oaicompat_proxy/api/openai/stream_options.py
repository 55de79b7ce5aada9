"""Parses `stream` and `stream_options`, for chat and for the older completions.

Source: `api/openai/PROTOCOL.md`, "Chat request": `stream_options` is only legal with `stream: true`.
`include_obfuscation` is accepted and has no effect: OpenAI's service pads its events by it, the proxy does not.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...core.errors import InvalidRequest


def parse_streaming(body: Mapping[str, Any]) -> tuple[bool, bool]:
    """Whether the answer is streamed, and whether the stream has usage. `body` has been checked.

    Raises InvalidRequest for options without a stream.
    """
    stream = bool(body.get("stream"))
    options = body.get("stream_options")
    if options is None:
        return stream, False
    if not stream:
        raise InvalidRequest(
            "The 'stream_options' parameter is only allowed when 'stream' is enabled.", param="stream_options"
        )
    return stream, bool(options.get("include_usage"))
