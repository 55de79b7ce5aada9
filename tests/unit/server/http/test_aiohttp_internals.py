"""aiohttp's private names still have their meaning: each is checked while a connection serves requests."""

from __future__ import annotations

import asyncio
import gc
import gzip
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web
from aiohttp.http_parser import HttpRequestParser

from oaicompat_proxy.server.http.aiohttp_internals import (
    BufferedHead,
    EventStream,
    OnePacket,
    ParsingState,
    has_buffered,
    release_unused,
    take_body,
)

GET = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n"

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


class Transport(asyncio.Transport):
    """Keeps each write apart; nothing is sent."""

    def __init__(self) -> None:
        super().__init__()
        self.writes: list[bytes] = []
        self.closing = False
        self.closed = asyncio.Event()

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.writes.append(bytes(data))

    def is_closing(self) -> bool:
        return self.closing

    def close(self) -> None:
        self.closing = True
        self.closed.set()

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...


class Connection(ParsingState):
    """Remembers what `handle_error` was asked to answer."""

    failed: tuple[int, BaseException | None, str | None] | None = None

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        self.failed = status, exc, message
        return web.Response(status=status)


@asynccontextmanager
async def connected(handler: Any, **settings: Any) -> AsyncIterator[tuple[Connection, Transport]]:
    """`settings`: of the server."""
    server, transport = web.Server(handler, handler_cancellation=True, **settings), Transport()
    connection = Connection(server, loop=asyncio.get_running_loop(), access_log=None)
    connection.connection_made(transport)
    await turns()
    yield connection, transport
    connection.connection_lost(None)
    await server.shutdown()


async def turns() -> None:
    """All that is ready has run."""
    for _ in range(10):
        await asyncio.sleep(0)


async def test_a_connection_is_idle_between_requests() -> None:
    gate = asyncio.Event()

    async def handler(_request: web.BaseRequest) -> web.StreamResponse:
        await gate.wait()
        return web.Response()

    async with connected(handler) as (connection, transport):
        assert connection.loop is asyncio.get_running_loop()
        seen = [connection.is_idle]
        connection.data_received(GET[:10])
        seen.append(connection.is_idle)
        connection.data_received(GET[10:])
        seen.append(connection.is_idle)
        await turns()
        seen.append(connection.is_idle)
        gate.set()
        await turns()
        assert seen == [True, True, False, False]
        assert connection.is_idle
        assert b"".join(transport.writes).startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        ([GET], True),
        ([POST], False),
        ([POST, b"{"], False),
        ([POST, b"{}"], True),
        ([GET, GET[:10]], True),
        ([GET, GET], False),
    ],
    ids=["no body", "no body yet", "half a body", "a body", "half of the next", "the next"],
)
async def test_a_request_is_read_when_its_body_is(sent: list[bytes], expected: bool) -> None:
    async def handler(_request: web.BaseRequest) -> web.StreamResponse:
        await asyncio.Event().wait()
        return web.Response()

    async with connected(handler) as (connection, _):
        assert not connection.has_read_request
        for data in sent:
            connection.data_received(data)
            await turns()
        assert connection.has_read_request is expected


async def test_bytes_that_are_no_request_are_a_parse_error() -> None:
    async def handler(_request: web.BaseRequest) -> web.StreamResponse:
        return web.Response()

    async with connected(handler) as (connection, _):
        connection.data_received(GET)
        seen = [connection.has_parse_error]
        await turns()
        connection.data_received(b"\x16\x03\x01\r\n\r\n")
        seen.append(connection.has_parse_error)
        await turns()
        assert seen == [False, True]
        assert not connection.has_parse_error
        assert connection.failed is not None
        assert connection.failed[0] == 400


async def test_a_queued_error_is_answered_and_ends_the_connection() -> None:
    served = []

    async def handler(request: web.BaseRequest) -> web.StreamResponse:
        served.append(request.path)
        return web.Response()

    error = ValueError("slow")
    async with connected(handler) as (connection, transport):
        connection.data_received(GET[:10])
        connection.queue_error(408, error, "too slow")
        assert not connection.is_idle
        connection.data_received(GET[10:])
        await turns()
        assert connection.failed == (408, error, "too slow")
        assert b"".join(transport.writes).startswith(b"HTTP/1.0 408")
        assert (served, transport.closing) == ([], True)


@pytest.mark.parametrize(("response", "writes"), [(BufferedHead, 1), (web.StreamResponse, 2)])
async def test_a_buffered_head_goes_out_with_the_first_bytes(response: type[web.StreamResponse], writes: int) -> None:
    """aiohttp's own streams send it by itself; should that change, this class is no longer needed."""
    gate = asyncio.Event()

    async def handler(request: web.BaseRequest) -> web.StreamResponse:
        answer = response()
        await answer.prepare(request)
        await answer.write(b"Hello")
        await gate.wait()
        return answer

    async with connected(handler) as (connection, transport):
        connection.data_received(GET)
        await turns()
        assert len(transport.writes) == writes
        assert transport.writes[0].startswith(b"HTTP/1.1 200")
        assert b"".join(transport.writes).endswith(b"5\r\nHello\r\n")
        gate.set()
        await turns()


async def test_an_event_stream_starts_no_task_for_keep_alives() -> None:
    seen = []

    async def handler(request: web.BaseRequest) -> web.StreamResponse:
        before = asyncio.all_tasks()
        stream = EventStream(allow_all_methods=True)
        await stream.prepare(request)
        seen.append(asyncio.all_tasks() == before)
        await stream.write(b"data: Hello\n\n")
        return stream

    async with connected(handler) as (connection, transport):
        connection.data_received(GET)
        await turns()
        assert seen == [True]
        head, _, body = b"".join(transport.writes).partition(b"\r\n\r\n")
        assert b"\r\nContent-Type: text/event-stream\r\n" in head
        assert body == b"d\r\ndata: Hello\n\n\r\n0\r\n\r\n"


async def test_requests_that_wait_are_served_in_their_order() -> None:
    served = []

    async def handler(request: web.BaseRequest) -> web.StreamResponse:
        served.append(request.path)
        return web.Response()

    async with connected(handler) as (connection, transport):
        connection.data_received(b"".join(GET.replace(b"/ ", b"/%d " % number) for number in range(3)))
        await turns()
        await turns()
        assert served == ["/0", "/1", "/2"]
        assert b"".join(transport.writes).count(b"HTTP/1.1 200") == 3


async def send_chunk(request: web.Request) -> web.StreamResponse:
    ends = {"Transfer-Encoding": "chunked", "Date": "", "Server": ""}
    answer = OnePacket(headers={"Content-Type": "text/event-stream", "Connection": "keep-alive", **ends})
    await answer.send_chunk(request, [b"He", b"", b"llo"], 5)
    return answer


async def send_chunk_by_aiohttp(request: web.Request) -> web.StreamResponse:
    answer = BufferedHead(headers={"Content-Type": "text/event-stream", "Connection": "keep-alive"})
    await answer.prepare(request)
    await answer.write_eof(b"Hello")
    return answer


async def send_body(request: web.Request) -> web.StreamResponse:
    answer = OnePacket(headers={"Content-Type": "text/plain", "Content-Length": "", "Date": "", "Server": ""})
    await answer.send_body(request, b"Hello")
    return answer


async def send_body_by_aiohttp(request: web.Request) -> web.StreamResponse:
    answer = web.Response(body=b"Hello", content_type="text/plain")
    await answer.prepare(request)
    await answer.write_eof()
    return answer


@pytest.mark.parametrize("ask", [GET, GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")])
@pytest.mark.parametrize("ways", [(send_chunk, send_chunk_by_aiohttp), (send_body, send_body_by_aiohttp)])
async def test_one_packet_has_the_bytes_that_aiohttp_sends(ask: bytes, ways: tuple[Handler, Handler]) -> None:
    """What replaces `prepare` and `write_eof` has the same bytes, in one packet, and ends the connection as often."""
    seen = []

    async def handler(request: web.Request) -> web.StreamResponse:
        answer = await ways[request.path != "/one"](request)
        seen.append((answer.status, answer.prepared, answer.keep_alive, request.writer.output_size))
        return answer

    async def add(request: web.Request, response: web.StreamResponse) -> None:
        response.headers["X-Added"] = "by the signal"
        response.headers["Server"] = "this"

    app = web.Application()
    app.on_response_prepare.append(add)
    app.router.add_get("/{name}", handler)
    runner = web.AppRunner(app)
    await runner.setup()
    assert runner.server is not None
    sent = []
    for path in (b"/one", b"/any"):
        async with connected(runner.server.request_handler, request_factory=runner.server.request_factory) as (
            connection,
            transport,
        ):
            connection.data_received(ask.replace(b"/", path, 1))
            await turns()
            sent.append((re.sub(rb"Date: [^\r]+", b"Date", b"".join(transport.writes)), transport.closing))
            assert len(transport.writes) == 1
    await runner.cleanup()
    assert sent[0] == sent[1]
    assert seen[0] == seen[1]


async def test_one_packet_for_a_client_that_has_left_is_a_lost_connection() -> None:
    failures = []

    async def handler(request: web.BaseRequest) -> web.StreamResponse:
        answer = OnePacket(headers={"Transfer-Encoding": "chunked"})
        request.transport.close()  # type: ignore[union-attr]
        try:
            await answer.send_chunk(request, [b"Hello"], 5)
        except ConnectionError as error:
            failures.append(error)
        return answer

    async with connected(handler) as (connection, transport):
        connection.data_received(GET)
        await turns()
        assert (len(failures), transport.writes) == (1, [])


async def test_a_complete_body_is_taken_and_its_buffer_is_freed() -> None:
    bodies = []

    async def handler(request: web.BaseRequest) -> web.StreamResponse:
        await complete.wait()
        bodies.extend([take_body(request.content), await request.content.read(), take_body(request.content)])
        return web.Response()

    complete = asyncio.Event()
    async with connected(handler) as (connection, transport):
        for data in (POST, b"{", b"}"):
            connection.data_received(data)
            await turns()
        complete.set()
        await turns()
        connection.data_received(POST + b"[]" + GET)
        await turns()
        await turns()
        assert bodies == [b"{}", b"", b"", b"[]", b"", b"", b"", b"", b""]
        assert b"".join(transport.writes).count(b"HTTP/1.1 200") == 3


async def test_a_body_has_buffered_bytes_until_they_are_read() -> None:
    seen = []

    async def handler(request: web.BaseRequest) -> web.StreamResponse:
        for _ in range(2):
            seen.append(has_buffered(request.content))
            seen.append(await request.content.readany())
        return web.Response()

    async with connected(handler) as (connection, _):
        connection.data_received(POST + b"{")
        await turns()
        connection.data_received(b"}")
        await turns()
    assert seen == [True, b"{", False, b"}"]


async def test_a_malformed_body_is_not_taken() -> None:
    failures = []

    async def handler(request: web.BaseRequest) -> web.StreamResponse:
        request.content.set_exception(web.RequestPayloadError("malformed"))
        try:
            take_body(request.content)
        except web.RequestPayloadError as error:
            failures.append(str(error))
        return web.Response()

    async with connected(handler) as (connection, _):
        connection.data_received(POST + b"[]")
        await turns()
        assert failures == ["malformed"]


async def test_properties_of_a_request_are_computed_again_when_they_were_freed() -> None:
    seen = []

    async def handler(request: web.Request) -> web.StreamResponse:
        for _ in range(2):
            seen.append((request.path, request.host, request.query_string))
            release_unused(request)
        return web.Response()

    async with connected(handler) as (connection, _):  # type: ignore[arg-type]
        connection.data_received(GET.replace(b"/ ", b"/a%20b?c=d "))
        await turns()
        assert seen == [("/a b", "localhost", "c=d")] * 2


async def test_an_idle_connection_is_closed_without_its_own_timer() -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        release_unused(request)
        await asyncio.sleep(0.06)
        return web.Response()

    server, transport = web.Server(handler, handler_cancellation=True), Transport()  # type: ignore[arg-type]
    connection = Connection(server, loop=asyncio.get_running_loop(), access_log=None, keepalive_timeout=0.03)
    connection.connection_made(transport)
    await turns()
    connection.data_received(GET)
    async with asyncio.timeout(20):
        await transport.closed.wait()
    assert b"".join(transport.writes).startswith(b"HTTP/1.1 200")
    connection.connection_lost(None)
    await server.shutdown()


def parsers_of(connection: Connection) -> int:
    """Parsers in memory that feed this connection."""
    return sum(type(found) is HttpRequestParser and found.protocol is connection for found in gc.get_objects())


CHUNKED = b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n"
UPGRADE = GET.replace(b"\r\n\r\n", b"\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
BLANK_LINES = POST.replace(b" 2", b" 13") + b"{\r\n\r\n\r\n\r\n   }"


@pytest.mark.parametrize(
    ("sent", "parsers"),
    [
        ([GET], 0),
        ([POST + b"{}"], 0),
        ([POST, b"{}"], 0),
        ([POST, b"{", b"}"], 0),
        ([BLANK_LINES], 0),
        ([POST, b"{"], 1),
        ([POST + b"{}" + GET[:1]], 1),
        ([POST, b"{}" + GET[:10]], 1),
        ([BLANK_LINES + GET[:8]], 1),
        ([GET, GET[:10]], 1),
        ([GET, GET], 1),
        ([GET + b"\r\n"], 1),
        ([GET[:10], GET[10:]], 1),
        ([CHUNKED], 1),
        ([UPGRADE], 1),
        ([UPGRADE + b"\x00"], 1),
    ],
    ids=[
        *("no body", "a body", "a body on its own", "a body in two", "blank lines"),
        *("half a body", "a byte of the next", "half of the next", "half of the next after blank lines"),
        *("half of the next on its own", "the next", "an empty line", "a head in two", "chunks", "an upgrade"),
        "bytes after an upgrade",
    ],
)
async def test_a_parser_that_may_hold_bytes_is_not_dropped(sent: list[bytes], parsers: int) -> None:
    seen = []
    complete = asyncio.Event()

    async def handler(request: web.Request) -> web.StreamResponse:
        await complete.wait()
        release_unused(request)
        seen.append(parsers_of(connection))
        return web.Response()

    async with connected(handler) as (connection, _):
        assert parsers_of(connection) == 1
        for data in sent:
            connection.data_received(data)
            await turns()
        complete.set()
        await turns()
        assert seen[0] == parsers


@pytest.mark.parametrize("cut", [*range(len(POST) + 3)])
async def test_a_request_is_read_by_the_parser_that_is_made_again(cut: int) -> None:
    """Its first bytes come during the response to another one, and the rest after it."""
    served: list[tuple[str, bytes]] = []
    ended = asyncio.Event()
    follows = POST.replace(b" / ", b" /2 ") + b"[]"

    async def handler(request: web.Request) -> web.StreamResponse:
        release_unused(request)
        if not served:
            assert parsers_of(connection) == 0
        served.append((request.path, await request.read()))
        await ended.wait()
        return web.Response()

    async with connected(handler) as (connection, transport):
        connection.data_received(POST + b"{}")
        await turns()
        connection.resume_reading()
        connection.data_received(follows[:cut])
        ended.set()
        await turns()
        connection.data_received(follows[cut:])
        await turns()
        connection.data_received(GET)
        await turns()
        assert served == [("/", b"{}"), ("/2", b"[]"), ("/", b"")]
        assert b"".join(transport.writes).count(b"HTTP/1.1 200") == 3


async def test_the_parser_is_dropped_in_each_request_of_a_connection() -> None:
    seen = []

    async def handler(request: web.Request) -> web.StreamResponse:
        release_unused(request)
        seen.append(parsers_of(connection))
        return web.Response()

    async with connected(handler) as (connection, _):
        for data in (GET, POST + b"{}", GET):
            connection.data_received(data)
            await turns()
        assert seen == [0, 0, 0]


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\nHost: localhost\r\nX-Long: " + b"x" * 100 + b"\r\n\r\n",
        b"GET /" + b"x" * 100 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\n" + b"X: y\r\n" * 4 + b"\r\n",
        b"\x16\x03\x01\r\n\r\n",
    ],
    ids=["a long header", "a long line", "many headers", "no HTTP"],
)
async def test_a_parser_that_is_made_again_has_the_same_limits(data: bytes) -> None:
    failed = []

    async def handler(request: web.Request) -> web.StreamResponse:
        if request.path == "/release":
            release_unused(request)
        return web.Response()

    limits = {"max_line_size": 80, "max_field_size": 60, "max_headers": 3}
    server = web.Server(handler)  # type: ignore[arg-type]
    for first in (b"/", b"/release"):
        connection = Connection(server, loop=asyncio.get_running_loop(), access_log=None, **limits)
        connection.connection_made(Transport())
        await turns()
        connection.data_received(GET.replace(b"/", first, 1))
        await turns()
        connection.data_received(data)
        await turns()
        assert connection.failed is not None
        failed.append((connection.failed[0], repr(connection.failed[1])))
        connection.connection_lost(None)
    assert failed[0] == failed[1]
    await server.shutdown()


async def test_bodies_stay_compressed_with_either_parser() -> None:
    bodies = []
    body = gzip.compress(b"{}")
    head = b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(body)

    async def handler(request: web.Request) -> web.StreamResponse:
        bodies.append(await request.read())
        release_unused(request)
        return web.Response()

    async with connected(handler) as (connection, _):
        for _ in range(2):
            connection.data_received(head + body)
            await turns()
        assert bodies == [body, body]
