"""Finds the answer that a request continues, and makes an answer continuable: by its id, or by a token.

A stored answer is named by its id. An answer that is not stored is found by a token, which the client sends back with
the whole conversation.
"""

from __future__ import annotations

import time
from dataclasses import replace

from ...config.settings import Config
from ...core.request import AgentRequest
from ..runtime import GatewayRuntime
from ..sessions.lease import SessionRequest
from ..sessions.session_token import new_token, read_token


def with_new_token(
    asked: AgentRequest, runtime: GatewayRuntime, settings: Config, scope: str, model: str, answer_id: str
) -> AgentRequest:
    """The request with the token of its answer in place of the token that the client has sent."""
    if not _gives_token(asked, settings) or not (runtime.upstream.dialect.gateway or settings.history == "last"):
        return replace(asked, session_token="") if asked.session_token else asked
    until = time.time() + settings.session_ttl
    return replace(asked, session_token=new_token(runtime.signing_keys, scope, model, answer_id, until=until))


def set_points(
    wanted: SessionRequest, asked: AgentRequest, runtime: GatewayRuntime, settings: Config, answer_id: str
) -> None:
    """Fills in the answers that `wanted` continues and makes. `asked`: with the token that the client has sent."""
    if not (asked.continuable or asked.continues or asked.wants_token or asked.session_token):
        return
    wanted.continues, wanted.instructions = asked.continues, asked.instructions
    wanted.by_token = _gives_token(asked, settings)
    if wanted.by_token or _is_stored(asked, settings):
        wanted.point = answer_id
    if asked.session_token:
        about = (wanted.caller.scope, wanted.model, asked.session_token)
        wanted.token_point = read_token(runtime.signing_keys, *about, now=time.time())


def _is_stored(asked: AgentRequest, settings: Config) -> bool:
    return asked.continuable and settings.responses == "stored"


def _gives_token(asked: AgentRequest, settings: Config) -> bool:
    return asked.wants_token and not _is_stored(asked, settings)
