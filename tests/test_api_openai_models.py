import json

import pytest
from checker import check_error_body
from openai.types import Model

from oaicompat_proxy.api.openai.errors import error_body
from oaicompat_proxy.api.openai.models import model_body, models_body, unknown_model

OWL = {"id": "owl", "object": "model", "created": 1790000000, "owned_by": "agentick"}


def test_one_model() -> None:
    body = json.loads(model_body("owl", created=1790000000, owner="agentick"))
    assert body == OWL
    assert Model.model_validate(body, strict=True).model_extra == {}


@pytest.mark.parametrize("names", [[], ["owl"], ["owl", "a/b:c", "e\u0301\u2028"]])
def test_all_models_in_their_order(names: list[str]) -> None:
    raw = models_body(iter(names), created=1790000000, owner="agentick")
    assert len(raw.decode().splitlines()) == 1
    assert json.loads(raw) == {"object": "list", "data": [{**OWL, "id": name} for name in names]}


def test_an_unknown_model_is_named_as_openai_names_it() -> None:
    error = unknown_model("elk")
    assert error.status == 404
    assert check_error_body(error_body(error)) == {
        "message": "The model 'elk' does not exist",
        "type": "invalid_request_error",
        "param": "model",
        "code": "model_not_found",
    }


def test_a_long_name_is_not_repeated_at_length() -> None:
    assert len(unknown_model("x" * 10_000).message) < 300
