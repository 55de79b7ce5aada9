import json

import pytest
from openai.types import Model as OpenAiModel

from oaicompat_proxy.api.openai.models import model_body, models_body
from oaicompat_proxy.core.model_info import Model, ModelInfo

PATHS = ["/v1/chat/completions", "/v1/responses"]
OWL = {
    "id": "owl",
    "object": "model",
    "created": 1790000000,
    "owned_by": "agentick",
    "supported_endpoints": PATHS,
    "name": "owl",
    "description": "",
}


def fields(**known: object) -> dict[str, object]:
    """The fields of a model of which this is known, beside those of each model."""
    model = Model("owl", ModelInfo(**known))  # type: ignore[arg-type]
    body = json.loads(model_body(model, created=1790000000, owner="agentick", endpoints=PATHS))
    OpenAiModel.model_validate(body, strict=True)
    assert OWL.keys() <= body.keys()
    return {name: value for name, value in body.items() if OWL.get(name) != value}


def test_one_model() -> None:
    body = json.loads(model_body(Model("owl"), created=1790000000, owner="agentick", endpoints=PATHS))
    assert body == OWL
    extra = OpenAiModel.model_validate(body, strict=True).model_extra
    assert extra == {"supported_endpoints": PATHS, "name": "owl", "description": ""}


def test_texts_are_openrouters() -> None:
    assert fields(name="Owl", description="Sees at night") == {"name": "Owl", "description": "Sees at night"}


def test_the_context_has_the_names_of_openrouter_and_vllm() -> None:
    assert fields(context_length=8192) == {
        "context_length": 8192,
        "max_model_len": 8192,
        "top_provider": {"context_length": 8192},
    }


def test_the_output_is_limited() -> None:
    assert fields(max_output_tokens=512) == {
        "max_output_tokens": 512,
        "top_provider": {"max_completion_tokens": 512},
    }


def test_modalities_are_openrouters() -> None:
    architecture = {
        "modality": "text+image->text",
        "input_modalities": ["text", "image"],
        "output_modalities": ["text"],
    }
    assert fields(input_modalities=("text", "image")) == {"architecture": architecture}


@pytest.mark.parametrize(
    ("tools", "parameters"), [(True, ["tools", "tool_choice", "parallel_tool_calls"]), (False, [])]
)
def test_tools_are_parameters_that_are_supported(tools: bool, parameters: list[str]) -> None:
    assert fields(tools=tools) == {"supported_parameters": parameters}


@pytest.mark.parametrize("names", [[], ["owl"], ["owl", "a/b:c", "e\u0301\u2028"]])
def test_all_models_in_their_order(names: list[str]) -> None:
    raw = models_body(map(Model, names), created=1790000000, owner="agentick", endpoints=PATHS)
    assert len(raw.decode().splitlines()) == 1
    assert json.loads(raw) == {"object": "list", "data": [{**OWL, "id": name, "name": name} for name in names]}
