"""The tree of errors: what each class promises a client."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from oaicompat_proxy.core import errors
from oaicompat_proxy.core.errors import InvalidRequest, MethodNotAllowed, ProxyError, UpstreamError


def tree(root: type[ProxyError]) -> Iterator[type[ProxyError]]:
    yield root
    for kind in root.__subclasses__():
        yield from tree(kind)


KINDS = list(tree(ProxyError))


def test_there_is_one_root() -> None:
    classes = [each for each in vars(errors).values() if isinstance(each, type) and issubclass(each, Exception)]
    assert set(classes) <= set(KINDS)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_it_says_what_it_means(kind: type[ProxyError]) -> None:
    assert kind.__doc__


@pytest.mark.parametrize("kind", list(tree(UpstreamError)), ids=lambda kind: kind.__name__)
def test_a_run_that_may_have_begun_is_not_to_be_repeated(kind: type[ProxyError]) -> None:
    """Nothing was run if no connection could be made, or if the gateway says when it has capacity again."""
    nothing_ran = {errors.UpstreamUnreachable, errors.UpstreamConnectTimeout}
    assert kind.should_retry is (kind in nothing_ran | {errors.UpstreamRateLimited, errors.UpstreamBusy})


@pytest.mark.parametrize("kind", list(tree(UpstreamError)), ids=lambda kind: kind.__name__)
def test_the_agents_side_never_blames_the_clients_key(kind: type[ProxyError]) -> None:
    assert kind.status not in (401, 403)
    assert kind.code


@pytest.mark.parametrize("kind", list(tree(InvalidRequest)), ids=lambda kind: kind.__name__)
def test_the_clients_side_is_sorted_as_its_own_fault(kind: type[ProxyError]) -> None:
    assert 400 <= kind.status < 500 or kind.status in (501, 505)  # what HTTP itself calls the server's limits


def test_one_error_may_name_its_param_and_its_own_code() -> None:
    error = InvalidRequest("No.", param="messages[0].role", code="invalid_value")
    assert (error.message, error.param, error.code, str(error)) == ("No.", "messages[0].role", "invalid_value", "No.")
    assert InvalidRequest("No.").code is None


def test_a_wrong_method_says_which_are_right() -> None:
    error = MethodNotAllowed(["GET", "HEAD"])
    assert error.message == "Only GET and HEAD requests are accepted."
    assert error.allowed == ["GET", "HEAD"]
