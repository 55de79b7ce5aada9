"""Bodies of the models endpoints.

Source: types of the `anthropic` package 2.14, `ModelInfo`; `api/anthropic/PROTOCOL.md`, "Models". It has no field for a
description. `capabilities` is left out: it would have to list all features of a model, and most are unknown.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ...core import json_text
from ...core.model_info import Model
from .request.validation import clip, fault
from .times import rfc3339

MAX_PAGE = 1000
"""Models of one page, at most."""

_DIGITS = 10
"""More digits than a limit has."""


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


def models_body(models: Iterable[Model], query: Mapping[str, str], *, created: int) -> bytes:
    """The page that `limit`, `after_id` and `before_id` in `query` ask for. Raises InvalidRequest.

    Without a limit all models are one page, not Anthropic's 20: many a client reads only the first page.
    """
    listed = [_model(each, created) for each in models]
    page, has_more = _page(listed, query)
    ids = [each["id"] for each in page]
    ends = {"first_id": ids[0] if ids else None, "last_id": ids[-1] if ids else None}
    return json_text.encode({"data": page, "has_more": has_more, **ends})


def _page(models: Sequence[Mapping[str, Any]], query: Mapping[str, str]) -> tuple[Sequence[Mapping[str, Any]], bool]:
    """The models of the page, and whether there are more in its direction."""
    limit = _limit_of(query) or len(models)
    if "before_id" in query:
        end = _place_of(models, query, "before_id")
        return models[max(end - limit, 0) : end], end > limit
    start = _place_of(models, query, "after_id") + 1 if "after_id" in query else 0
    return models[start : start + limit], start + limit < len(models)


def _limit_of(query: Mapping[str, str]) -> int | None:
    text = query.get("limit")
    if text is None:
        return None
    if not (text.isascii() and text.isdecimal() and len(text) < _DIGITS and 1 <= int(text) <= MAX_PAGE):
        raise fault("limit", f"Input should be an integer from 1 to {MAX_PAGE}")
    return int(text)


def _place_of(models: Sequence[Mapping[str, Any]], query: Mapping[str, str], name: str) -> int:
    for place, model in enumerate(models):
        if model["id"] == query[name]:
            return place
    raise fault(name, f"the model '{clip(query[name])}' does not exist")
