"""Ids of tool calls as every client takes them: at most 40 letters, digits, `_` and `-`. Pure.

OpenAI's own service refuses longer ones, other services odd ones, and clients send a conversation to whichever they
like. An agent's id that is longer or odd is replaced by a signature over it and its caller, which always is the same;
whoever knows both can tell that they belong together.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from ..core.confirmation_call import TOKEN_PREFIX
from ..core.message import Message
from ..core.signing import SigningKeys

SHORT_PREFIX = "oc_"

_FIT = re.compile(r"[A-Za-z0-9_-]{1,40}", re.ASCII)
_SHORT = re.compile(rf"{SHORT_PREFIX}[A-Za-z0-9_-]{{32}}", re.ASCII)
_PURPOSE = "call id"


def is_fit(call_id: str) -> bool:
    """Whether it can go to a client as it is. One that looks like one of ours cannot: it would be taken for it."""
    return bool(_FIT.fullmatch(call_id)) and not call_id.startswith((SHORT_PREFIX, TOKEN_PREFIX))


def shorten(call_id: str, keys: SigningKeys, scope: str) -> str:
    """35 letters that stand for it, for this caller."""
    return SHORT_PREFIX + keys.sign(_PURPOSE, scope, call_id)


def belongs(short: str, call_id: str, keys: SigningKeys, scope: str) -> bool:
    """Whether the short one was made of the other, for this caller."""
    return keys.verify(short.removeprefix(SHORT_PREFIX), _PURPOSE, scope, call_id)


def short_ids(messages: Iterable[Message]) -> list[str]:
    """Those in a conversation that may stand for others, each once, the oldest first."""
    return list(dict.fromkeys(each for each in _ids(messages) if _SHORT.fullmatch(each)))


def restore_ids(messages: Sequence[Message], originals: Mapping[str, str]) -> tuple[Message, ...]:
    """The same conversation with the agent's own ids."""

    def own(call_id: str) -> str:
        return originals.get(call_id, call_id)

    return tuple(
        replace(
            message,
            tool_calls=tuple(replace(call, id=own(call.id)) for call in message.tool_calls),
            tool_call_id=message.tool_call_id and own(message.tool_call_id),
        )
        for message in messages
    )


def _ids(messages: Iterable[Message]) -> Iterator[str]:
    for message in messages:
        for call in message.tool_calls:
            yield call.id
        if message.tool_call_id:
            yield message.tool_call_id
