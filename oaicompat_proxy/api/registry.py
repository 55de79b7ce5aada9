"""The client APIs of the server. An API that is added here is served, recorded, replayed and measured."""

from __future__ import annotations

from collections.abc import Mapping

from .anthropic.api import MESSAGES
from .openai.chat.api import CHAT
from .openai.completions.api import COMPLETIONS
from .openai.responses.api import RESPONSES
from .protocol import ClientApi

APIS: Mapping[str, ClientApi] = {api.name: api for api in (CHAT, COMPLETIONS, RESPONSES, MESSAGES)}
"""The APIs by name."""

DEFAULT_API: ClientApi = CHAT
"""The API whose form is used for errors of requests that belong to no API."""
