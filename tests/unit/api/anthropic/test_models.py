"""Models in Anthropic's form, as the official client reads them."""

import json

from anthropic.types import ModelInfo as AnthropicModel

from oaicompat_proxy.api.anthropic.models import model_body, models_body
from oaicompat_proxy.core.model_info import Model, ModelInfo


def read(model: Model) -> AnthropicModel:
    return AnthropicModel.model_validate_json(model_body(model, created=1790000000), strict=True)


def test_a_model() -> None:
    model = read(Model("owl"))
    assert (model.id, model.display_name, model.created_at.isoformat()) == ("owl", "owl", "2026-09-21T14:13:20+00:00")
    assert (model.max_input_tokens, model.max_tokens, model.capabilities) == (None, None, None)


def test_what_is_known_of_a_model() -> None:
    model = read(Model("owl", ModelInfo("Night owl", "Sees", 8192, 512, ("text", "image"), True)))
    assert (model.display_name, model.max_input_tokens, model.max_tokens) == ("Night owl", 8192, 512)


def test_all_models_are_one_page() -> None:
    page = json.loads(models_body([Model("owl"), Model("ant")], created=1790000000))
    assert [model["id"] for model in page.pop("data")] == ["owl", "ant"]
    assert page == {"has_more": False, "first_id": "owl", "last_id": "ant"}
    assert json.loads(models_body([], created=0)) == {"data": [], "has_more": False, "first_id": None, "last_id": None}
