"""Headers from which clients read whether and when to try again."""

import pytest

from oaicompat_proxy.api.error_headers import error_headers
from oaicompat_proxy.core import errors


class Elsewhere(errors.UpstreamError):
    """One that has a time to try again, in fractions of a second."""

    code = "elsewhere"
    retry_after = 2.5


@pytest.mark.parametrize(
    ("error", "headers"),
    [
        (errors.InvalidRequest("Bad."), {}),
        (errors.UpstreamUnreachable("Gone."), {"x-should-retry": "true"}),
        (errors.AgentError("No."), {"x-should-retry": "false"}),
        (errors.AgentRateLimited("Slow."), {"x-should-retry": "false", "retry-after": "5"}),
        (Elsewhere("Away."), {"x-should-retry": "false", "retry-after": "3", "retry-after-ms": "2500"}),
    ],
)
def test_headers_say_whether_and_when_to_try_again(error: errors.ProxyError, headers: dict[str, str]) -> None:
    assert error_headers(error) == headers
