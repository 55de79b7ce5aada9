"""The demo gateway with its internal state, and any number of real proxies in front of it.

The fixtures are in `proxy_fixtures`.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import aiohttp

from oaicompat_proxy.config.settings import Config
from oaicompat_proxy.demo.settings import GatewaySettings
from oaicompat_proxy.server.app import create_app
from oaicompat_proxy.server.process.serve import listening
from tests.support import guardian
from tests.support.conformance import Answer, check_body, check_error_body, check_stream
from tests.support.proxy import Line, Proxy, Received
from tests.support.scripted_gateway import PATIENCE

if TYPE_CHECKING:
    from oaicompat_proxy.demo.runs import RunRecord
    from oaicompat_proxy.demo.state import GatewayState

Messages = list[dict[str, Any]]


def user(content: Any) -> dict[str, Any]:
    return {"role": "user", "content": content}


def assistant_message(answer: Answer) -> dict[str, Any]:
    """The answer as a message that the client sends back."""
    calls = [
        {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}
        for call_id, name, arguments in answer.tool_calls
    ]
    return {"role": "assistant", "content": answer.text or None, **({"tool_calls": calls} if calls else {})}


def result(call_id: str, content: str) -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": call_id, "content": content}


def function(name: str, **properties: str) -> dict[str, Any]:
    schema = {"type": "object", "properties": {key: {"type": kind} for key, kind in properties.items()}}
    return {"type": "function", "function": {"name": name, "parameters": schema}}


@dataclass
class Front:
    """A gateway and a proxy in front of it."""

    url: str
    gateway_state: GatewayState
    proxy: Proxy
    lasting: set[str] = field(default_factory=set)
    """Keys of the sessions that may be left."""

    # requests

    async def post(self, messages: str | Messages, *, name: str = "", key: str = "", **fields: Any) -> Received:
        """`name`: of the session. `key`: the caller's API key."""
        return await self.proxy.post(encode(messages, **fields), headers=headers(name, key))

    async def ask(self, messages: str | Messages, *, stream: bool = True, **more: Any) -> Answer:
        """The answer; if it is streamed, possibly with an error at its end."""
        received = await self.post(messages, stream=stream, **more)
        assert received.status == 200, received.body
        return check_stream(received.body, include_usage=False) if stream else check_body(received.body)

    async def refused(self, messages: str | Messages, **more: Any) -> tuple[int, str]:
        """Status and code of an answer that is an error."""
        received = await self.post(messages, **more)
        assert received.status >= 400, received.body
        return received.status, str(check_error_body(received.body)["code"])

    async def line(self, messages: str | Messages, *, name: str = "", key: str = "", **fields: Any) -> Line:
        """A connection on which the request has been sent."""
        line = await self.proxy.dial()
        lines = [f"{each}: {value}" for each, value in headers(name, key).items()]
        await line.post(encode(messages, **fields), headers=lines)
        return line

    # observations

    @property
    def runs(self) -> list[RunRecord]:
        """All runs of the gateway, oldest first."""
        return list(self.gateway_state.runs)

    def prompt(self, index: int = -1) -> str:
        """The text of the message with which a run began."""
        blocks = self.runs[index].blocks
        return "\n".join(block.get("text") or json.dumps(block) for block in blocks)

    @property
    def sessions(self) -> list[str]:
        """Keys of the open sessions."""
        return [session.key for session in self.gateway_state.sessions]

    @property
    def running(self) -> int:
        return self.gateway_state.runs.running

    async def until(self, condition: Callable[[], object], within: float = PATIENCE) -> None:
        async with asyncio.timeout(within):
            await self.gateway_state.wait_until(lambda _: bool(condition()))

    async def at_rest(self) -> None:
        """Waits until no run is active and only the lasting sessions are open."""
        await self.until(lambda: not self.running and {*self.sessions} <= self.lasting)

    async def nothing_left(self) -> None:
        """`at_rest`, except for sessions that the proxy keeps for conversations that may continue."""
        async with asyncio.timeout(PATIENCE):
            while True:
                left = len({*self.sessions} - self.lasting)
                if not self.running and (not left or left <= await self.proxy.kept_sessions()):
                    return
                await asyncio.sleep(0.005)

    async def close_all_sessions(self) -> None:
        """Closes all sessions at the gateway, with their runs."""
        for session in self.gateway_state.sessions:
            self.gateway_state.close(session.key)
        await self.at_rest()

    def keep_sessions(self) -> None:
        """Marks the sessions that are open now as lasting."""
        self.lasting |= {*self.sessions}


def encode(messages: str | Messages, **fields: Any) -> bytes:
    content = [user(messages)] if isinstance(messages, str) else messages
    return json.dumps({"model": "default", "stream": True, "messages": content, **fields}).encode()


def headers(name: str, key: str) -> dict[str, str]:
    return {
        **({"X-Session-Id": name} if name else {}),
        **({"Authorization": f"Bearer {key}"} if key else {}),
    }


class Chat:
    """A client that remembers the conversation and sends all of it each time."""

    def __init__(self, front: Front, **how: Any) -> None:
        self._front = front
        self._how = how
        self.messages: Messages = []

    async def say(self, text: str, **more: Any) -> Answer:
        return await self.add(user(text), **more)

    async def add(self, *messages: dict[str, Any], **more: Any) -> Answer:
        self.messages += messages
        answer = await self._front.ask(self.messages, **{**self._how, **more})
        self.messages.append(assistant_message(answer))
        return answer


class StartFront(Protocol):
    def __call__(self, gateway: GatewaySettings | None = None, /, **settings: Any) -> Awaitable[Front]: ...


async def listen(config: Config, stack: AsyncExitStack) -> Proxy:
    app = create_app(config)
    port = await stack.enter_async_context(listening(app, config))
    client = await stack.enter_async_context(
        aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0), timeout=aiohttp.ClientTimeout(total=3 * PATIENCE)
        )
    )
    return Proxy(app, config, port, client)


# Redis


class RedisServer:
    """A real Redis process on a socket file, without persistence."""

    def __init__(self, directory: Path) -> None:
        self._socket = directory / "redis.sock"
        self._directory = directory
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"unix://{self._socket}"

    def start(self) -> None:
        """Fails if Redis is not installed: tests that need it are never skipped."""
        program = shutil.which("redis-server", path=os.environ.get("PATH", os.defpath) + os.pathsep + "/usr/sbin")
        assert program, "redis-server is not installed, and these tests are about it: apt-get install redis-server"
        flags = f"--port 0 --unixsocket {self._socket} --save '' --appendonly no --loglevel warning"
        command = [program, *flags.replace("''", "@").split()]
        self._process = subprocess.Popen(
            ["" if word == "@" else word for word in command],
            cwd=self._directory,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            start_new_session=True,
        )
        guardian.guard(self._process.pid)
        self._wait()

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            guardian.release(self._process.pid)
            self._process = None
            self._socket.unlink(missing_ok=True)

    def flush(self) -> None:
        """Deletes all data."""
        import redis

        with redis.Redis.from_url(self.url) as client:
            client.flushall()

    def keys(self, pattern: str) -> list[bytes]:
        import redis

        with redis.Redis.from_url(self.url) as client:
            return list(client.scan_iter(pattern))

    def ttl(self, key: str) -> float:
        """Seconds until the key expires."""
        import redis

        with redis.Redis.from_url(self.url) as client:
            return client.pttl(key) / 1000

    def length(self, key: str) -> int:
        """The length of a list."""
        import redis

        with redis.Redis.from_url(self.url) as client:
            return int(client.llen(key))

    def signal(self, number: int) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def _wait(self) -> None:
        import redis
        from redis.backoff import ConstantBackoff
        from redis.retry import Retry

        patient = Retry(ConstantBackoff(0.02), int(PATIENCE / 0.02))
        with redis.Redis.from_url(self.url, retry=patient, retry_on_error=[redis.ConnectionError]) as client:
            client.ping()

    def clear(self) -> None:
        import redis

        with redis.Redis.from_url(self.url) as client:
            client.flushall()


@contextlib.contextmanager
def running_redis() -> Iterator[RedisServer]:
    with tempfile.TemporaryDirectory(prefix="redis-") as directory:
        server = RedisServer(Path(directory))
        server.start()
        try:
            yield server
        finally:
            server.stop()
