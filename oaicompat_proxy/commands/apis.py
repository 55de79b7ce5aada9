"""The option `--api`: the API of the proxy that a command uses."""

from __future__ import annotations

from typing import Any

import click

from .chat_api import CHAT
from .client import Api
from .messages_api import MESSAGES
from .responses_api import RESPONSES

APIS: dict[str, Api] = {"chat": CHAT, "responses": RESPONSES, "messages": MESSAGES}


def _find(context: click.Context, option: click.Parameter, name: Any) -> Api:
    return APIS[name]


api_option = click.option(
    "--api",
    type=click.Choice([*APIS]),
    default="chat",
    show_default=True,
    callback=_find,
    help="API of the proxy that is used.",
)
