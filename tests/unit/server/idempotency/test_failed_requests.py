"""Failures that answer an equal request, and those that do not."""

from __future__ import annotations

from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request

from oaicompat_proxy.core.caller import Caller, Owner
from oaicompat_proxy.core.errors import AgentError, ProxyError, UpstreamUnreachable
from oaicompat_proxy.server.context import CONTEXT, RequestContext
from oaicompat_proxy.server.idempotency.failed_requests import FailedRequests
from oaicompat_proxy.server.idempotency.request_name import RequestName

BOB = Caller("bob", "bob")
NAME = RequestName("k", b"1", 0, failures_only=True)
WITH_STREAMS = NAME._replace(failed_streams=True)


class Run:
    """A handler that counts its calls, and fails as it was told."""

    def __init__(self, failure: ProxyError | None = None, *, streamed: bool = False) -> None:
        self._failure, self._streamed, self.calls = failure, streamed, 0

    async def __call__(self, request: web.Request) -> web.StreamResponse:
        self.calls += 1
        if self._failure is None:
            return web.Response()
        if not self._streamed:
            raise self._failure
        if (on_stream_failed := request[CONTEXT].on_stream_failed) is not None:
            on_stream_failed(self._failure)
        return web.Response()


async def answer(requests: FailedRequests, run: Run, name: RequestName = NAME, caller: Caller = BOB) -> Any:
    """What the request gets: its response, or the error."""
    request = make_mocked_request("POST", "/v1/messages")
    context = request[CONTEXT] = RequestContext("req_1", 0.0)
    context.caller = caller
    try:
        return await requests.answer(request, run, name)
    except ProxyError as error:
        return error


async def test_an_equal_request_gets_the_failure_without_a_run() -> None:
    requests, run = FailedRequests(), Run(AgentError("no"))
    first = await answer(requests, run)
    assert isinstance(first, AgentError)
    assert await answer(requests, run) is first
    assert run.calls == 1


@pytest.mark.parametrize(("name", "calls"), [(NAME, 2), (WITH_STREAMS, 1)])
async def test_a_failed_stream_counts_where_the_name_says_so(name: RequestName, calls: int) -> None:
    requests, run = FailedRequests(), Run(AgentError("no"), streamed=True)
    await answer(requests, run, name)
    await answer(requests, run, name)
    assert run.calls == calls


@pytest.mark.parametrize("run", [Run(), Run(UpstreamUnreachable("no"))], ids=["answer", "not run"])
async def test_what_may_be_repeated_is(run: Run) -> None:
    requests = FailedRequests()
    await answer(requests, run)
    await answer(requests, run)
    assert run.calls == 2


async def test_another_caller_and_another_request_have_runs_of_their_own() -> None:
    requests, run = FailedRequests(), Run(AgentError("no"))
    await answer(requests, run)
    await answer(requests, run, caller=Caller("eve", "eve"))
    await answer(requests, run, NAME._replace(digest=b"2"))
    assert run.calls == 3


async def test_a_failure_is_removed_with_its_owner() -> None:
    requests, run = FailedRequests(), Run(AgentError("no"))
    await answer(requests, run)
    requests.remove(Owner(BOB.scope))
    await answer(requests, run)
    assert run.calls == 2
