"""Times in Anthropic's words."""

from oaicompat_proxy.api.anthropic.times import rfc3339


def test_a_time_in_utc() -> None:
    assert rfc3339(1790000000) == "2026-09-21T14:13:20Z"
    assert rfc3339(0) == "1970-01-01T00:00:00Z"
