"""Headers in Anthropic's words."""

from oaicompat_proxy.api.anthropic.headers import answer_headers, rate_headers


def test_every_answer_has_the_id_of_its_request() -> None:
    assert answer_headers("req_1") == {"request-id": "req_1"}


def test_what_is_left_of_a_limit() -> None:
    assert rate_headers(limit=10, remaining=9, reset_at=1790000000.2, unit="requests") == {
        "anthropic-ratelimit-requests-limit": "10",
        "anthropic-ratelimit-requests-remaining": "9",
        "anthropic-ratelimit-requests-reset": "2026-09-21T14:13:21Z",
    }
