"""The gateway, its dialect, and the models that it offers. Pure: a section of the settings."""

from dataclasses import dataclass
from typing import Literal

from ..fields import field
from ..types import HeaderValue, ModelNames, ModelSettings, Switch, Url


@dataclass(frozen=True, kw_only=True)
class GatewaySettings:
    upstream: Url = field(
        "",
        "Base address of the agent gateway, such as http://127.0.0.1:18790 or unix:/run/gateway.sock.",
        metavar="URL",
        gateway=True,
    )
    upstream_token: HeaderValue = field(
        "", "Bearer token for the gateway; no client ever sees it.", metavar="TOKEN", secret=True, gateway=True
    )
    dialect: Literal["agentick", "ag-ui"] = field(
        "agentick",
        "Protocol of the upstream: `agentick` for a gateway of Agentick, `ag-ui` for an agent, whose address is "
        "--upstream.",
        gateway=True,
    )
    demo: Switch = field(False, "Use the embedded demo agent instead of a gateway.")
    wire: Literal["0.9", "0.14"] = field(
        "0.9", "Release of Agentick whose protocol the gateway of the --demo agent follows."
    )
    model: ModelNames = field(
        {},
        "Offer the app APP as model NAME; with `ag-ui` APP is a URL or a path. May be repeated. Empty is the default "
        "app.",
        metavar="NAME=APP",
        gateway=True,
    )
    model_setting: ModelSettings = field(
        {},
        "Setting for one model, such as coder:history=last; may be repeated. A pattern, such as gpt-*, applies to "
        "many models; an exact name wins over patterns, a longer pattern over a shorter one. SETTING is one of "
        "tick_separator, reasoning_field, responses_reasoning, server_tools, side_requests, structured, "
        "structured_strip_fences, history, max_fold.",
        metavar="MODEL:SETTING=VALUE",
        gateway=True,
    )
