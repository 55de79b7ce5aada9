"""Which requests of each API count as requests of GitHub Copilot CLI."""

from __future__ import annotations

import pytest
from multidict import CIMultiDict

from oaicompat_proxy.api.protocol import ClientApi
from oaicompat_proxy.api.registry import APIS
from oaicompat_proxy.api.retry_rules import RetryKey

COPILOT = CIMultiDict({"X-Initiator": "agent"})
OTHER = CIMultiDict({"X-Stainless-Retry-Count": "0"})
BODY = b'{"model":"owl"}'

each_api = pytest.mark.parametrize("api", APIS.values(), ids=APIS)


def read(api: ClientApi, headers: CIMultiDict[str], body: bytes = BODY) -> RetryKey | None:
    assert api.retries is not None
    return api.retries.read_key(body, headers, 100)


@each_api
def test_a_request_of_copilots_is_known_by_its_header(api: ClientApi) -> None:
    assert read(api, COPILOT) == RetryKey(BODY, failures_only=True, failed_streams=True)


@each_api
def test_another_clients_failed_streams_do_not_count(api: ClientApi) -> None:
    key = read(api, OTHER)
    assert key is None or not key.failed_streams


@each_api
def test_an_api_with_copilots_rule_alone_names_its_header(api: ClientApi) -> None:
    """So a request without the header is not read for it."""
    assert api.retries is not None
    assert api.retries.header == ("" if api.name in ("responses", "messages") else "x-initiator")


@each_api
def test_what_names_itself_is_known_by_its_name(api: ClientApi) -> None:
    named = b'{"client_metadata":{"turn_id":"t-1"},"metadata":{"user_id":"{\\"session_id\\":\\"s-1\\"}"}}'
    key = read(api, COPILOT, named)
    assert key is not None
    assert key.failures_only is (api.name not in ("responses", "messages"))
