"""The API of a request is known by its path, also where the request never reaches a handler."""

from __future__ import annotations

import pytest

from tests.support.conformance import check_error_body
from tests.support.proxy import Proxy, StartProxy


async def posted(front: Proxy, path: str) -> str:
    received = await front.post(b"{", path=path)
    assert received.status == 400
    return str(check_error_body(received.body)["message"])


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/completions"])
async def test_an_endpoint_words_its_errors_itself(proxy: StartProxy, path: str) -> None:
    assert "We could not parse the JSON body" in await posted(await proxy(), path)


async def test_a_path_of_no_api_is_answered_in_the_words_of_the_default_one(proxy: StartProxy) -> None:
    received = await (await proxy()).post(b"{}", path="/v1/nothing")
    assert received.status == 404
    message = check_error_body(received.body)["message"]
    assert "/v1/chat/completions, /v1/completions, /v1/responses, /v1/messages and /v1/models" in message
