import json

import pytest
from openai.types import Model

from oaicompat_proxy.api.openai.models import model_body, models_body

PATHS = ["/v1/chat/completions", "/v1/responses"]
OWL = {
    "id": "owl",
    "object": "model",
    "created": 1790000000,
    "owned_by": "agentick",
    "supported_endpoints": PATHS,
}


def test_one_model() -> None:
    body = json.loads(model_body("owl", created=1790000000, owner="agentick", endpoints=PATHS))
    assert body == OWL
    assert Model.model_validate(body, strict=True).model_extra == {"supported_endpoints": PATHS}


@pytest.mark.parametrize("names", [[], ["owl"], ["owl", "a/b:c", "e\u0301\u2028"]])
def test_all_models_in_their_order(names: list[str]) -> None:
    raw = models_body(iter(names), created=1790000000, owner="agentick", endpoints=PATHS)
    assert len(raw.decode().splitlines()) == 1
    assert json.loads(raw) == {"object": "list", "data": [{**OWL, "id": name} for name in names]}
