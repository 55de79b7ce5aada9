"""The same runs in OpenAI's protocol, for peers in front of a model server instead of an agent gateway."""

from __future__ import annotations

import functools
import json
from typing import Any

from .frames import KEPT, LAST_CHUNK, Run, Script, assemble, chunk, texts

_USAGE = {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18}
_SHARED = {"id": "chatcmpl-4a3249c93536", "created": 1795332297, "model": "bench"}


@functools.lru_cache(KEPT)
def build_openai_script(run: Run) -> Script:
    """The script of a streamed answer."""
    opening = chunk(_event({"role": "assistant", "content": ""}))
    deltas = tuple(chunk(_event({"content": text})) for text in texts(run))
    closing = chunk(_event({}, "stop")) + chunk(b"data: [DONE]\n\n") + LAST_CHUNK
    return assemble(run, opening, deltas, closing)


@functools.lru_cache(KEPT)
def build_openai_answer(run: Run) -> bytes:
    """The body of an answer that is not streamed."""
    message = {"role": "assistant", "content": "".join(texts(run)), "refusal": None}
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}
    return _encode({**_SHARED, "object": "chat.completion", "choices": [choice], "usage": _USAGE})


def _event(delta: dict[str, Any], reason: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}
    return b"data: " + _encode({**_SHARED, "object": "chat.completion.chunk", "choices": [choice]}) + b"\n\n"


def _encode(body: dict[str, Any]) -> bytes:
    return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()
