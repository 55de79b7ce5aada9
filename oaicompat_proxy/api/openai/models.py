"""Bodies of the models endpoints.

Source: OpenAI API description, `Model` and `ListModelsResponse`. OpenAI has no fields that describe a model, so these
are the fields of other servers, which clients read: OpenRouter's API reference (`GET /models`) for `name`,
`description`, `context_length`, `architecture`, `top_provider` and `supported_parameters`, vLLM's `ModelCard` for
`max_model_len`. The README beside this module lists the clients that read each field.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ...core import json_text
from ...core.model_info import Model, ModelInfo

TOOL_PARAMETERS = ("tools", "tool_choice", "parallel_tool_calls")
"""The parameters of a request that need a model with tools."""


def _model(model: Model, created: int, owner: str, endpoints: Sequence[str]) -> dict[str, object]:
    """`name` and `description` are always present: strict readers of OpenRouter's form, such as Zed, require them."""
    return {
        "id": model.id,
        "object": "model",
        "created": created,
        "owned_by": owner,
        "supported_endpoints": list(endpoints),
        "name": model.info.name or model.id,
        "description": model.info.description,
        **_known(model.info),
    }


def _known(info: ModelInfo) -> dict[str, object]:
    """The fields of known properties. Unknown ones are left out: `null` breaks readers that expect a number."""
    fields: dict[str, object] = {}
    if info.context_length is not None:
        fields |= {"context_length": info.context_length, "max_model_len": info.context_length}
    if info.max_output_tokens is not None:
        fields["max_output_tokens"] = info.max_output_tokens
    if limits := _limits(info):
        fields["top_provider"] = limits
    if info.input_modalities is not None:
        fields["architecture"] = _architecture(info.input_modalities)
    if info.tools is not None:
        fields["supported_parameters"] = list(TOOL_PARAMETERS) if info.tools else []
    return fields


def _limits(info: ModelInfo) -> dict[str, int]:
    both = {"context_length": info.context_length, "max_completion_tokens": info.max_output_tokens}
    return {name: value for name, value in both.items() if value is not None}


def _architecture(inputs: Sequence[str]) -> dict[str, object]:
    """The modalities: the output of every agent is text."""
    return {
        "modality": f"{'+'.join(inputs)}->text",
        "input_modalities": list(inputs),
        "output_modalities": ["text"],
    }


def model_body(model: Model, *, created: int, owner: str, endpoints: Sequence[str]) -> bytes:
    """One model. `created`: Unix time in seconds; the start of the proxy, because agents have no date.

    `owner`: the dialect, such as `agentick`.
    """
    return json_text.encode(_model(model, created, owner, endpoints))


def models_body(models: Iterable[Model], *, created: int, owner: str, endpoints: Sequence[str]) -> bytes:
    """All models; the parameters are those of `model_body`."""
    return json_text.encode({"object": "list", "data": [_model(each, created, owner, endpoints) for each in models]})
