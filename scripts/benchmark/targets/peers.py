"""Other gateways, for comparison. They need a model server, which the simulated gateway can also be."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Peer:
    """`{program}`, `{port}` and `{upstream}` are filled in."""

    command: tuple[str, ...]
    program: str
    """The program to start, unless the command line names another path."""
    model: str = "bench"
    headers: tuple[str, ...] = ()
    environment: dict[str, str] = field(default_factory=dict)


_KEY = "sk-bench-0123456789abcdef0123456789abcdef"
"""LiteLLM does not start without a key of its own; this one opens nothing."""
_LITELLM_LISTENS = ("--host", "127.0.0.1", "--port", "{port}")

PEERS = {
    "litellm": Peer(
        (
            "{program}",
            "--model",
            "openai/bench",
            "--api_base",
            "{upstream}/v1",
            "--host",
            "127.0.0.1",
            "--port",
            "{port}",
        ),
        program="litellm",
        model="openai/bench",
        headers=(f"Authorization: Bearer {_KEY}",),
        environment={"LITELLM_MASTER_KEY": _KEY, "OPENAI_API_KEY": "none"},
    ),
    "portkey": Peer(
        ("{program}", "--port={port}", "--headless"),
        program="gateway",
        headers=("x-portkey-provider: openai", "x-portkey-custom-host: {upstream}/v1", "Authorization: Bearer none"),
    ),
}
"""How to install them: README.md of this package."""
