"""Session tokens, by which a client that stores its conversation itself continues in its session. Pure.

A token names an answer and is signed for its caller and model. A token alone gives no access: the session is found only
if the client sends exactly the conversation that the session has answered. A token that is forged, expired, or another
caller's is ignored.
"""

from __future__ import annotations

from ...core.signing import SigningKeys

_MARK = "oct"
_PURPOSE = "session token"


def new_token(keys: SigningKeys, scope: str, model: str, point: str, *, until: float) -> str:
    """`point`: the id of the answer, without a dot. `until`: Unix time of expiry."""
    expires = str(int(until))
    return ".".join([_MARK, point, expires, keys.sign(_PURPOSE, scope, model, point, expires)])


def read_token(keys: SigningKeys, scope: str, model: str, token: str, *, now: float) -> str:
    """The id of the answer; empty if the token is not valid."""
    mark, *parts = token.split(".")
    if mark != _MARK or len(parts) != 3:
        return ""
    point, expires, signature = parts
    if not (keys.verify(signature, _PURPOSE, scope, model, point, expires) and int(expires) > now):
        return ""
    return point
