from __future__ import annotations

from oaicompat_proxy.api.openai.headers import answer_headers, rate_headers


def test_a_limit_is_three_headers() -> None:
    assert rate_headers(limit=60, remaining=59, reset=1, unit="requests") == {
        "x-ratelimit-limit-requests": "60",
        "x-ratelimit-remaining-requests": "59",
        "x-ratelimit-reset-requests": "1s",
    }


def test_every_answer_says_which_request_it_answers_and_how_long_it_took() -> None:
    assert answer_headers("req_1", 250) == {
        "x-request-id": "req_1",
        "openai-processing-ms": "250",
        "openai-version": "2020-10-01",
    }
