"""Bodies of the models endpoints.

Source: OpenAI API description, `Model` and `ListModelsResponse`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ...core import json_text


def _model(name: str, created: int, owner: str, endpoints: Sequence[str]) -> dict[str, object]:
    """`supported_endpoints` is an extension that other servers have, too; clients ignore unknown fields."""
    return {
        "id": name,
        "object": "model",
        "created": created,
        "owned_by": owner,
        "supported_endpoints": list(endpoints),
    }


def model_body(name: str, *, created: int, owner: str, endpoints: Sequence[str]) -> bytes:
    """One model. `created`: Unix time in seconds; the start of the proxy, because agents have no date.

    `owner`: the dialect, such as `agentick`.
    """
    return json_text.encode(_model(name, created, owner, endpoints))


def models_body(names: Iterable[str], *, created: int, owner: str, endpoints: Sequence[str]) -> bytes:
    """All models; the parameters are those of `model_body`."""
    return json_text.encode({"object": "list", "data": [_model(name, created, owner, endpoints) for name in names]})
