"""Ids of tool calls that every service accepts: at most 40 letters, digits, `_` and `-`.

OpenAI's service rejects longer ids, others reject other characters, and a client may send its conversation to any of
them. An agent's id that is too long or has other characters is replaced by a signature over the id and the caller. The
signature is the same each time, and `belongs` verifies that it was made of a given id.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from ..core.confirmation_call import TOKEN_PREFIX
from ..core.message import Message
from ..core.signing import SigningKeys

SHORT_PREFIX = "oc_"

_FIT = re.compile(r"[A-Za-z0-9_-]{1,40}", re.ASCII)
_SHORT = re.compile(rf"{SHORT_PREFIX}[A-Za-z0-9_-]{{32}}", re.ASCII)
_PURPOSE = "call id"


def is_fit(call_id: str) -> bool:
    """Whether clients get the agent's id unchanged. Ids with a prefix of the proxy's own are replaced, too."""
    return bool(_FIT.fullmatch(call_id)) and not call_id.startswith((SHORT_PREFIX, TOKEN_PREFIX))


def shorten(call_id: str, keys: SigningKeys, scope: str) -> str:
    """The short id for this caller: 35 letters."""
    return SHORT_PREFIX + keys.sign(_PURPOSE, scope, call_id)


def belongs(short: str, call_id: str, keys: SigningKeys, scope: str) -> bool:
    """Whether the short id was made of `call_id` for this caller."""
    return keys.verify(short.removeprefix(SHORT_PREFIX), _PURPOSE, scope, call_id)


def short_ids(messages: Iterable[Message]) -> list[str]:
    """The short ids in a conversation, each once, the oldest first."""
    found: dict[str, None] = {}
    for message in messages:
        for call in message.tool_calls:
            found[call.id] = None
        if message.tool_call_id:
            found[message.tool_call_id] = None
    return [each for each in found if _SHORT.fullmatch(each)]


def restore_ids(messages: Sequence[Message], originals: Mapping[str, str]) -> tuple[Message, ...]:
    """The same conversation with the agent's own ids in place of short ones."""

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
