"""Bodies of the models endpoints.

Source: types of the `anthropic` package 2.14, `ModelInfo`; `api/anthropic/PROTOCOL.md`, "Models". It has no field for a
description. `capabilities` is left out: it would have to list all features of a model, and most are unknown.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ...core import json_text
from ...core.model_info import Model
from .times import rfc3339


def _model(model: Model, created: int) -> dict[str, Any]:
    name = model.info.name or model.id
    known = {"max_input_tokens": model.info.context_length, "max_tokens": model.info.max_output_tokens}
    return {
        "type": "model",
        "id": model.id,
        "display_name": name,
        "created_at": rfc3339(created),
        "lifecycle": "active",
        **{field: tokens for field, tokens in known.items() if tokens is not None},
    }


def model_body(model: Model, *, created: int) -> bytes:
    """One model. `created`: Unix time in seconds; the start of the proxy, because agents have no date."""
    return json_text.encode(_model(model, created))


def models_body(models: Iterable[Model], *, created: int) -> bytes:
    """All models on one page; the client's paging parameters are ignored."""
    listed = [_model(each, created) for each in models]
    ids = [each["id"] for each in listed]
    page = {"has_more": False, "first_id": ids[0] if ids else None, "last_id": ids[-1] if ids else None}
    return json_text.encode({"data": listed, **page})
