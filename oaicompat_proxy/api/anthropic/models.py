"""Bodies of the models endpoints.

Source: types of the `anthropic` package 2.14, `ModelInfo`; `api/anthropic/PROTOCOL.md`, "Models".
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ...core import json_text
from .times import rfc3339


def _model(name: str, created: int) -> dict[str, Any]:
    return {"type": "model", "id": name, "display_name": name, "created_at": rfc3339(created), "lifecycle": "active"}


def model_body(name: str, *, created: int) -> bytes:
    """One model. `created`: Unix time in seconds; agents have no birthday, so it is when the proxy started."""
    return json_text.encode(_model(name, created))


def models_body(names: Iterable[str], *, created: int) -> bytes:
    """All models on one page, whatever page the client asked for."""
    models = [_model(name, created) for name in names]
    ids = [model["id"] for model in models]
    page = {"has_more": False, "first_id": ids[0] if ids else None, "last_id": ids[-1] if ids else None}
    return json_text.encode({"data": models, **page})
