"""Models in Anthropic's form, as the official client reads them."""

import json

from anthropic.types import ModelInfo

from oaicompat_proxy.api.anthropic.models import model_body, models_body


def test_a_model() -> None:
    body = model_body("owl", created=1790000000)
    model = ModelInfo.model_validate_json(body, strict=True)
    assert (model.id, model.display_name, model.created_at.isoformat()) == ("owl", "owl", "2026-09-21T14:13:20+00:00")


def test_all_models_are_one_page() -> None:
    page = json.loads(models_body(["owl", "ant"], created=1790000000))
    assert [model["id"] for model in page.pop("data")] == ["owl", "ant"]
    assert page == {"has_more": False, "first_id": "owl", "last_id": "ant"}
    assert json.loads(models_body([], created=0)) == {"data": [], "has_more": False, "first_id": None, "last_id": None}
