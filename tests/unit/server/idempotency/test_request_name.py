from typing import Any

import pytest
from aiohttp.test_utils import make_mocked_request

from oaicompat_proxy.api.openai.responses.api import RESPONSES
from oaicompat_proxy.api.protocol import Keeping
from oaicompat_proxy.api.registry import DEFAULT_API
from oaicompat_proxy.config.settings import Config
from oaicompat_proxy.core.errors import InvalidRequest
from oaicompat_proxy.server.context import CONTEXT, RequestContext
from oaicompat_proxy.server.idempotency.request_name import read_keeping
from oaicompat_proxy.server.runtime import RUNTIME


class Runtime:
    def __init__(self, **settings: Any) -> None:
        self.config = Config(demo=True, **settings)


def request(body: object, **settings: Any) -> Any:
    """A request whose body was read."""
    made = make_mocked_request("POST", "/v1/responses", app={RUNTIME: Runtime(**settings)})
    context = made[CONTEXT] = RequestContext("req_1", 0.0)
    context.body = body  # type: ignore[assignment]
    return made


@pytest.mark.parametrize(
    ("body", "keeping"),
    [
        (b'{"input":"hi","stream":true}', Keeping(stream=True)),
        (b'{"input":"hi","store":true}', Keeping(kept=True)),
        (b'{"input":"hi","store":true,"stream":true}', Keeping(kept=True, stream=True)),
        (b'{"input":"hi","background":true}', Keeping(kept=True, background=True)),
        (b'{"input":"hi","store":false,"background":true}', Keeping()),
        (b'{"input":"hi","store":1,"background":1,"stream":"true"}', Keeping()),
    ],
)
async def test_the_body_says_how_its_answer_is_kept(body: bytes, keeping: Keeping) -> None:
    asked = request(body)
    assert await read_keeping(asked, RESPONSES) == keeping
    assert asked[CONTEXT].parsed.members["input"] == "hi"
    assert asked[CONTEXT].body is None


async def test_nothing_is_kept_without_storing() -> None:
    assert await read_keeping(request(b'{"background":true}', responses="stateless"), RESPONSES) == Keeping()


async def test_an_api_that_keeps_nothing_leaves_the_body_alone() -> None:
    asked = request(b"{}")
    assert await read_keeping(asked, DEFAULT_API) == Keeping()
    assert (asked[CONTEXT].body, asked[CONTEXT].parsed) == (b"{}", None)


async def test_the_handler_reports_what_cannot_be_read() -> None:
    asked = request(b"{")
    assert await read_keeping(asked, RESPONSES) == Keeping()
    with pytest.raises(InvalidRequest):
        asked[CONTEXT].take_body()
    lost = request(ConnectionResetError())
    assert await read_keeping(lost, RESPONSES) == Keeping()
    with pytest.raises(ConnectionResetError):
        lost[CONTEXT].take_body()
