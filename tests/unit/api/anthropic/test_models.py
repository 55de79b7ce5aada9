"""Models in Anthropic's form, as the official client reads them."""

import json
from typing import Any

import pytest
from anthropic.types import ModelInfo as AnthropicModel

from oaicompat_proxy.api.anthropic.models import model_body, models_body
from oaicompat_proxy.core.errors import InvalidRequest
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
    page = page_of()
    assert [model["id"] for model in page.pop("data")] == [*"abcde"]
    assert page == {"has_more": False, "first_id": "a", "last_id": "e"}
    nothing = {"data": [], "has_more": False, "first_id": None, "last_id": None}
    assert json.loads(models_body([], {}, created=0)) == nothing
    assert json.loads(models_body([], {"limit": "5"}, created=0)) == nothing


def page_of(**query: str) -> dict[str, Any]:
    page: dict[str, Any] = json.loads(models_body([Model(each) for each in "abcde"], query, created=1790000000))
    return page


@pytest.mark.parametrize(
    ("query", "ids", "has_more"),
    [
        ({"limit": "2"}, "ab", True),
        ({"limit": "5"}, "abcde", False),
        ({"limit": "1000"}, "abcde", False),
        ({"after_id": "b"}, "cde", False),
        ({"after_id": "b", "limit": "2"}, "cd", True),
        ({"after_id": "e"}, "", False),
        ({"before_id": "d"}, "abc", False),
        ({"before_id": "d", "limit": "2"}, "bc", True),
        ({"before_id": "a", "limit": "2"}, "", False),
        ({"unknown": "x"}, "abcde", False),
    ],
)
def test_a_page_of_the_models(query: dict[str, str], ids: str, has_more: bool) -> None:
    page = page_of(**query)
    assert ("".join(model["id"] for model in page["data"]), page["has_more"]) == (ids, has_more)
    assert (page["first_id"], page["last_id"]) == ((ids[0], ids[-1]) if ids else (None, None))


@pytest.mark.parametrize("limit", ["0", "-1", "1001", "x", "", "１", "9" * 5000])
def test_a_limit_that_none_can_have_is_refused(limit: str) -> None:
    with pytest.raises(InvalidRequest, match=r"^limit: Input should be an integer from 1 to 1000$"):
        page_of(limit=limit)


@pytest.mark.parametrize("name", ["after_id", "before_id"])
def test_a_page_beside_an_unknown_model_is_refused(name: str) -> None:
    with pytest.raises(InvalidRequest, match=f"^{name}: the model 'z' does not exist$"):
        page_of(**{name: "z"})
