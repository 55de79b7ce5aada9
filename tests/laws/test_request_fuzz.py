"""For any request: never a 5xx, always an answer in OpenAI's form, and the server goes on.

The real application on a socket, hypothesis as its client, a scripted agent that is always quick and well.
"""

from __future__ import annotations

import asyncio
import base64
import copy
import gzip
import json
import socket
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from http.client import HTTPException, HTTPResponse
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.conformance import check_body, check_error_body, check_stream
from tests.support.examples import examples
from tests.support.messages_conformance import check_message_body, check_message_error, check_message_stream
from tests.support.proxy import CHAT, StartProxy, chat_body
from tests.support.raw_client import Answer
from tests.support.responses_conformance import check_response_body, check_response_stream
from tests.support.scripted_gateway import PATIENCE, Agent, answer, run
from tests.unit.api.openai.completions.test_encoder import read_body, read_stream

pytestmark = pytest.mark.slow

COMPLETIONS = "/v1/completions"
RESPONSES = "/v1/responses"
MESSAGES = "/v1/messages"
MODELS = "/v1/models"

quickly = settings(
    deadline=None,
    database=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
)


class Caller:
    """One connection after another, each used as long as the proxy keeps it."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._sock: socket.socket | None = None

    def __call__(self, request: bytes, method: str = "POST", *, half_close: bool = False) -> Answer | None:
        """None if the proxy closed without a word. `half_close`: nothing more will come."""
        sock = self._sock or socket.create_connection(("127.0.0.1", self._port), timeout=PATIENCE)
        self._sock = None
        response = HTTPResponse(sock, method=method)
        try:
            sock.sendall(request)
            if half_close:
                sock.shutdown(socket.SHUT_WR)
            response.begin()
            body = response.read()
            if not response.will_close and not half_close:
                self._sock = sock
            return Answer(response.status, {name.lower(): value for name, value in response.getheaders()}, body)
        except (HTTPException, ConnectionError):
            return None
        finally:
            response.close()
            if self._sock is None:
                sock.close()

    def close(self) -> None:
        if self._sock is not None:
            self._sock.close()


def posted(path: str, body: bytes, *headers: str, method: str = "POST") -> bytes:
    lines = [f"{method} {path} HTTP/1.1", "Host: localhost", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join([*lines, "", ""]).encode("utf-8", "surrogatepass") + body


JSON_TYPE = "Content-Type: application/json"


def check_error(answer: Answer, path: str = CHAT) -> None:
    assert 400 <= answer.status < 500
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["content-length"] == str(len(answer.body))
    is_message = path == MESSAGES and answer.body.startswith(b'{"type":')  # no path is known of an unreadable request
    error = (check_message_error if is_message else check_error_body)(answer.body)
    assert error["type"] == "invalid_request_error" or path == MESSAGES
    assert answer.headers["x-request-id"]


def check_answered(answer: Answer | None, path: str, sent: bytes = b"") -> None:
    """A right answer of the endpoint's, or an error of the client's."""
    assert answer is not None, "closed without a word"
    if answer.status != 200:
        check_error(answer, path)
        return
    stream = answer.headers["content-type"].startswith("text/event-stream")
    include_usage = stream and b'"usage":null' in answer.body
    if path == RESPONSES:
        check_response_stream(answer.body, odd=True) if stream else check_response_body(answer.body, odd=True)
    elif path == MESSAGES:
        (check_message_stream if stream else check_message_body)(answer.body)
    elif path == COMPLETIONS:
        read_stream(answer.body, include_usage=include_usage) if stream else read_body(answer.body)
    elif stream:
        check_stream(answer.body, include_usage=include_usage)
    else:
        check_body(answer.body)


async def fuzz(proxy: StartProxy, agent: Agent, test: Callable[[Caller], Callable[[], None]], **config: Any) -> None:
    """Runs a property in a thread of its own against a proxy in this one; it must be well afterwards."""
    agent.plays(run("Hello"))
    agent.replies("/invoke", answer({"apps": [{"id": "owl"}]}))
    front = await proxy(max_body=100_000, **config)
    caller = Caller(front.port)
    try:
        await asyncio.to_thread(test(caller))
    finally:
        caller.close()
    assert (await front.get("/healthz")).status == 200
    assert check_body((await front.chat(stream=False)).body).text == "Hello"


# JSON of all shapes

odd_text = st.text(st.characters(codec=None), max_size=8) | st.sampled_from(
    ["", "user", "assistant", "tool", "text", "function", "auto", "none", "owl", "a:b", "\u2028", "\ud83e", "x" * 300]
)
number = st.integers() | st.integers(-3, 3) | st.floats() | st.sampled_from([1e308, -0.0, 2**63, 2**64, 10**400])
scalar = st.none() | st.booleans() | number | odd_text
anything = st.recursive(
    scalar, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(odd_text, inner, max_size=3), max_leaves=8
)


def shaped(required: dict[str, Any], optional: dict[str, Any]) -> st.SearchStrategy[dict[str, Any]]:
    """An object as the API describes it."""

    def each(fields: dict[str, Any]) -> dict[str, st.SearchStrategy[Any]]:
        return {key: value if isinstance(value, st.SearchStrategy) else st.just(value) for key, value in fields.items()}

    return st.fixed_dictionaries(each(required), optional=each(optional))


@dataclass(frozen=True)
class Change:
    """The change of a valid request: at some place in it, another value, none, or an unknown field."""

    way: list[int]
    kind: str
    value: Any

    def apply(self, body: Any) -> None:
        holder = body
        for step in self.way[:-1]:
            inner = [each for each in (holder.values() if isinstance(holder, dict) else holder) if each]
            inner = [each for each in inner if isinstance(each, dict | list)]
            if not inner or step == 0:
                break
            holder = inner[step % len(inner)]
        keys = list(holder) if isinstance(holder, dict) else list(range(len(holder)))
        key = keys[self.way[-1] % len(keys)] if keys else None
        if self.kind == "add" and isinstance(holder, dict):
            holder["unknown"] = self.value
        elif key is not None and self.kind == "remove":
            del holder[key]
        elif key is not None:
            holder[key] = self.value


changes = st.builds(
    Change,
    st.lists(st.integers(0, 9), min_size=2, max_size=6),
    st.sampled_from(["replace", "replace", "remove", "add"]),
    anything,
)


def nearly(request: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """A right request with up to three changes."""

    def changed(body: Any, made: list[Change]) -> Any:
        body = copy.deepcopy(body)
        for change in made:
            change.apply(body)
        return body

    return st.builds(changed, request, st.lists(changes, max_size=3))


words = st.text(max_size=12)
name = st.sampled_from(["look_up", "a", "x" * 64])
pixels = "data:image/png;base64," + base64.b64encode(b"\x89PNG").decode()
url = st.sampled_from(
    ["https://a.example/x.png", "https://a.example/x.png", pixels, pixels, pixels, "data:,", "ftp://x", ""]
)
part = st.one_of(
    shaped({"type": "text", "text": words}, {"prompt_cache_breakpoint": {"mode": "explicit"}}),
    shaped({"type": "image_url", "image_url": shaped({"url": url}, {"detail": st.sampled_from(["auto", "low"])})}, {}),
    shaped({"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}}, {}),
    shaped({"type": "file", "file": shaped({"file_data": url}, {"filename": words})}, {}),
    shaped({"type": "file", "file": shaped({"file_id": "file-1"}, {})}, {}),
)
content = st.one_of(words, words, st.lists(part, min_size=1, max_size=3))
texts = st.one_of(words, st.lists(shaped({"type": "text", "text": words}, {}), min_size=1, max_size=2))
call = st.one_of(
    shaped({"id": "c1", "type": "function", "function": shaped({"name": name, "arguments": words}, {})}, {}),
    shaped({"id": "c1", "type": "custom", "custom": shaped({"name": name, "input": words}, {})}, {}),
)
user = shaped({"role": "user", "content": content}, {"name": words})
system = shaped({"role": st.sampled_from(["system", "developer"]), "content": texts}, {"name": words})
assistant = shaped(
    {"role": "assistant", "content": texts | st.none()},
    {"refusal": words, "annotations": [], "reasoning_content": words, "audio": st.none()},
)
round_of_a_tool = st.tuples(
    shaped({"role": "assistant", "tool_calls": st.lists(call, min_size=1, max_size=1)}, {"content": texts | st.none()}),
    shaped({"role": "tool", "tool_call_id": "c1", "content": texts}, {}),
).map(list)
round_of_a_function = st.tuples(
    shaped({"role": "assistant", "content": st.none(), "function_call": {"name": "a", "arguments": "{}"}}, {}),
    shaped({"role": "function", "name": "a", "content": words}, {}),
).map(list)
one = st.one_of(user, system, assistant).map(lambda message: [message])
conversation = st.lists(st.one_of(one, round_of_a_tool, round_of_a_function), min_size=1, max_size=3).map(
    lambda rounds: [message for each in rounds for message in each]
)
schema = st.sampled_from([{"type": "object"}, {}, {"type": "object", "properties": {"a": {"type": "string"}}}])
function = shaped({"name": name}, {"description": words, "parameters": schema, "strict": st.booleans()})
tool = st.one_of(
    shaped({"type": "function", "function": function}, {}),
    shaped({"type": "custom", "custom": shaped({"name": name}, {"format": {"type": "text"}})}, {}),
)
response_format = st.one_of(
    st.sampled_from([{"type": "text"}, {"type": "json_object"}]),
    shaped({"type": "json_schema", "json_schema": shaped({"name": name}, {"schema": schema})}, {}),
)
sampling: dict[str, Any] = {
    "model": st.sampled_from(["owl", "default", "", "\u2028"]),
    "max_tokens": st.integers(0, 100),
    "n": 1,
    "temperature": st.floats(0, 2),
    "top_p": st.floats(0, 1),
    "frequency_penalty": st.floats(-2, 2),
    "logit_bias": st.dictionaries(st.sampled_from(["1", "x"]), st.floats(-100, 100), max_size=2),
    "stop": st.one_of(words, st.lists(words, max_size=4)),
    "seed": st.integers(-9, 9),
    "user": words,
}
streaming = st.one_of(
    st.just({}),
    st.just({"stream": False, "stream_options": None}),
    shaped({"stream": True}, {"stream_options": shaped({}, {"include_usage": st.booleans()})}),
)


def merged(*objects: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[dict[str, Any]]:
    return st.tuples(*objects).map(lambda parts: {key: value for each in parts for key, value in each.items()})


extras = {
    **sampling,
    "parallel_tool_calls": st.booleans(),
    "response_format": response_format,
    "modalities": ["text"],
    "metadata": st.dictionaries(words, words, max_size=2),
    "prediction": shaped({"type": "content", "content": texts}, {}),
    "reasoning_effort": st.sampled_from(["low", "max"]),
    "web_search_options": {"search_context_size": "low"},
    "service_tier": "auto",
    "logprobs": False,
    "prompt_cache_key": words,
}
tools = st.one_of(
    st.just({}),
    st.just({}),
    shaped(
        {"tools": st.lists(tool, min_size=1, max_size=2)},
        {"tool_choice": st.sampled_from(["none", "auto", "required"])},
    ),
    shaped(
        {"functions": st.lists(function, min_size=1, max_size=2)}, {"function_call": st.sampled_from(["none", "auto"])}
    ),
)
few_extras = st.lists(st.sampled_from([*extras]), max_size=4).flatmap(
    lambda names: shaped({each: extras[each] for each in names}, {})
)
chat_request = nearly(merged(shaped({"messages": conversation}, {}), streaming, tools, few_extras))
completion_request = nearly(
    merged(
        shaped(
            {"prompt": st.one_of(words, words.map(lambda text: [text]))},
            {"echo": st.booleans(), "best_of": 1, **sampling},
        ),
        streaming,
    )
)


item_part = st.one_of(
    shaped({"type": "input_text", "text": words}, {}),
    shaped({"type": "input_image"}, {"image_url": url, "file_id": words, "detail": "auto"}),
    shaped({"type": "input_file"}, {"file_data": url, "file_url": url, "filename": words}),
)
said_part = shaped({"type": "output_text", "text": words}, {"annotations": [], "logprobs": []})
item_content = st.one_of(words, st.lists(item_part, min_size=1, max_size=2))
item = st.one_of(
    shaped({"role": st.sampled_from(["user", "developer"]), "content": item_content}, {"type": "message"}),
    shaped({"role": "assistant", "content": st.lists(said_part, max_size=2)}, {"id": "msg_1", "status": "completed"}),
    shaped({"type": "reasoning", "id": "rs_1", "summary": []}, {"encrypted_content": words}),
    shaped({"type": "mcp_call", "id": "mcp_1", "name": name, "arguments": words}, {"output": words}),
    shaped(
        {"type": "mcp_approval_response", "approval_request_id": st.sampled_from(["mcpr_1", "x"]), "approve": True}, {}
    ),
    shaped({"type": "item_reference", "id": st.sampled_from(["msg_1", "", "resp_1/input", "mcpr_1"])}, {}),
).map(lambda item: [item])
round_of_items = st.tuples(
    shaped({"type": "function_call", "call_id": "c1", "name": name, "arguments": words}, {"id": "fc_1"}),
    shaped({"type": "function_call_output", "call_id": "c1", "output": item_content}, {"status": "completed"}),
).map(list)
items = st.lists(st.one_of(item, item, round_of_items), min_size=1, max_size=4).map(
    lambda rounds: [item for each in rounds for item in each]
)
flat_tool = st.one_of(
    shaped({"type": "function", "name": name}, {"description": words, "parameters": schema, "strict": st.booleans()}),
    shaped({"type": "custom", "name": name}, {"format": {"type": "text"}}),
    shaped({"type": st.sampled_from(["mcp", "web_search", "namespace"])}, {"server_label": words, "name": words}),
)
response_request = nearly(
    merged(
        shaped(
            {"input": st.one_of(words, items, items)},
            {
                "model": st.sampled_from(["owl", "default", "\u2028"]),
                "instructions": words,
                "stream": st.booleans(),
                "store": st.booleans(),
                "tools": st.lists(flat_tool, max_size=2),
                "tool_choice": st.sampled_from(["none", "auto", "required", {"type": "function", "name": "a"}]),
                "text": {"verbosity": "low"},
                "reasoning": {"effort": "low"},
                "metadata": st.dictionaries(words, words, max_size=2),
                "temperature": st.floats(0, 2),
            },
        ),
        st.one_of(st.just({}), st.just({}), st.just({}), shaped({"previous_response_id": odd_text}, {})),
    )
)


text_block = shaped({"type": "text", "text": words}, {"cache_control": anything, "citations": anything})
source = st.one_of(
    shaped({"type": "url", "url": st.sampled_from(["https://a.example/b", "b", ""])}, {}),
    shaped({"type": "base64", "media_type": "image/png", "data": st.sampled_from(["aGk=", "a", ""])}, {}),
    shaped({"type": "text", "data": words}, {}),
    shaped({"type": "content", "content": st.one_of(words, st.lists(text_block, max_size=2))}, {}),
    shaped({"type": "file", "file_id": name}, {}),
)
block = st.one_of(
    text_block,
    shaped({"type": st.sampled_from(["image", "document"]), "source": source}, {"title": words, "context": words}),
    shaped({"type": "search_result", "source": words, "title": words, "content": st.lists(text_block, max_size=2)}, {}),
    shaped({"type": "tool_result", "tool_use_id": name}, {"content": st.one_of(words, st.lists(text_block))}),
    shaped({"type": "tool_use", "id": name, "name": name, "input": schema}, {}),
    shaped({"type": "thinking", "thinking": words, "signature": words}, {}),
    shaped({"type": st.sampled_from(["mcp_tool_use", "mcp_tool_result", "brand_new"])}, {"content": anything}),
)
messages = st.lists(
    shaped(
        {
            "role": st.sampled_from(["user", "assistant", "system"]),
            "content": st.one_of(words, st.lists(block, max_size=3)),
        },
        {},
    ),
    min_size=1,
    max_size=3,
)
message_request = nearly(
    shaped(
        {"model": "owl", "max_tokens": 10, "messages": messages},
        {
            "stream": st.booleans(),
            "system": st.one_of(words, st.lists(text_block, max_size=2)),
            "tools": st.lists(shaped({"name": name, "input_schema": schema}, {"type": "custom"}), max_size=2),
            "tool_choice": st.sampled_from([{"type": "auto"}, {"type": "any"}, {"type": "tool", "name": "a"}]),
            "thinking": {"type": "adaptive"},
            "metadata": shaped({"user_id": words}, {}),
            "context_management": anything,
        },
    )
)


def encoded(body: Any) -> bytes:
    """As Python's `json` writes it: NaN, numbers without end, halves of surrogate pairs."""
    return json.dumps(body).encode()


async def test_no_chat_of_whatever_shape_is_a_fault_of_the_proxy(proxy: StartProxy, agent: Agent) -> None:
    def test(caller: Caller) -> Callable[[], None]:
        @examples(400, quickly)
        @given(chat_request)
        def law(body: Any) -> None:
            check_answered(caller(posted(CHAT, encoded(body), JSON_TYPE)), CHAT)

        return law

    await fuzz(proxy, agent, test)
    assert len(agent.runs) > 50, "many of them are right"


async def test_no_completion_of_whatever_shape_is_a_fault_of_the_proxy(proxy: StartProxy, agent: Agent) -> None:
    def test(caller: Caller) -> Callable[[], None]:
        @examples(200, quickly)
        @given(completion_request)
        def law(body: Any) -> None:
            check_answered(caller(posted(COMPLETIONS, encoded(body), JSON_TYPE)), COMPLETIONS)

        return law

    await fuzz(proxy, agent, test)
    assert len(agent.runs) > 50


async def test_no_response_of_whatever_shape_is_a_fault_of_the_proxy(proxy: StartProxy, agent: Agent) -> None:
    def test(caller: Caller) -> Callable[[], None]:
        @examples(400, quickly)
        @given(response_request)
        def law(body: Any) -> None:
            check_answered(caller(posted(RESPONSES, encoded(body), JSON_TYPE)), RESPONSES)

        return law

    await fuzz(proxy, agent, test)
    assert len(agent.runs) > 50, "many of them are right"


async def test_no_message_of_whatever_shape_is_a_fault_of_the_proxy(proxy: StartProxy, agent: Agent) -> None:
    def test(caller: Caller) -> Callable[[], None]:
        @examples(400, quickly)
        @given(message_request)
        def law(body: Any) -> None:
            check_answered(caller(posted(MESSAGES, encoded(body), JSON_TYPE)), MESSAGES)

        return law

    await fuzz(proxy, agent, test)
    assert len(agent.runs) > 50, "many of them are right"


async def test_no_session_of_whatever_name_is_a_fault_of_the_proxy(proxy: StartProxy, agent: Agent) -> None:
    """Names come from headers and from the body, and go to the gateway."""
    places = ("x-session-id", "user", "prompt_cache_key", "metadata.session_id")

    def test(caller: Caller) -> Callable[[], None]:
        @examples(60, quickly)
        @given(
            st.one_of(words, words, anything),
            st.sampled_from(["header", "user", "prompt_cache_key", "metadata"]),
            st.booleans(),
        )
        def law(session: Any, place: str, stream: bool) -> None:
            fields = {"metadata": {"session_id": session}} if place == "metadata" else {place: session}
            visible = "".join(each for each in str(session) if each.isprintable())
            headers = [JSON_TYPE, *([f"X-Session-Id: {visible}"] if place == "header" else [])]
            body = json.loads(chat_body(stream=stream)) | ({} if place == "header" else fields)
            check_answered(caller(posted(CHAT, encoded(body), *headers)), CHAT)

        return law

    await fuzz(proxy, agent, test, session_from=places)
    agent.kept_sessions.update(each.session for each in agent.runs)


async def test_no_json_at_all_is_a_fault_of_the_proxy(proxy: StartProxy, agent: Agent) -> None:
    def test(caller: Caller) -> Callable[[], None]:
        @examples(150, quickly)
        @given(anything, st.sampled_from([CHAT, COMPLETIONS, RESPONSES, MESSAGES]))
        def law(body: Any, path: str) -> None:
            check_answered(caller(posted(path, encoded(body), JSON_TYPE)), path)

        return law

    await fuzz(proxy, agent, test)


# Bytes, and what they are said to be

content_types = st.sampled_from(
    [
        "",
        "application/json",
        "application/json; charset=utf-8",
        "application/json; charset=utf-16",
        "application/json; charset=\x7f",
        "text/plain",
        "text/html; charset=nonsense",
        "multipart/form-data",
        "multipart/form-data; boundary=",
        "application/x-www-form-urlencoded",
        "nonsense",
        ";;;",
        "ä/ö",
    ]
)
encodings: dict[str, Callable[[bytes], bytes]] = {
    "identity": lambda body: body,
    "gzip": gzip.compress,
    "GZIP": gzip.compress,
    "deflate": zlib.compress,
    "br": lambda body: body,
    "zstd": lambda body: body,
    "nonsense": lambda body: body,
    "gzip, deflate": lambda body: gzip.compress(body),
    "gzip;q=1": lambda body: body,
}
good_bodies = st.sampled_from([chat_body(), chat_body(stream=False), b'{"prompt":"Hi"}'])
bodies = st.one_of(
    st.binary(max_size=100),
    good_bodies,
    good_bodies.flatmap(lambda body: st.integers(0, len(body)).map(lambda end: body[:end])),
    st.builds(lambda body, odd: body[:-1] + odd, good_bodies, st.binary(max_size=4)),
    st.sampled_from(
        [b"[" * 50_000, b'{"a":' * 50_000, b"\xef\xbb\xbf{}", b"\xff\xfe{\x00}\x00", b" " * 50_000, b"x" * 100_001]
    ),
)


async def test_no_bytes_are_a_fault_of_the_proxy(proxy: StartProxy, agent: Agent) -> None:
    def test(caller: Caller) -> Callable[[], None]:
        @examples(200, quickly)
        @given(bodies, st.sampled_from([CHAT, COMPLETIONS, RESPONSES, MESSAGES]), content_types)
        def law(body: bytes, path: str, kind: str) -> None:
            headers = [f"Content-Type: {kind}"] if kind else []
            check_answered(caller(posted(path, body, *headers)), path)

        return law

    await fuzz(proxy, agent, test)


async def test_no_compression_is_a_fault_of_the_proxy(proxy: StartProxy, agent: Agent) -> None:
    """Right, wrong, cut short, and larger than it looks."""

    def test(caller: Caller) -> Callable[[], None]:
        @examples(200, quickly)
        @given(
            good_bodies | st.binary(max_size=50),
            st.sampled_from([0, 0, 0, 10_000_000]),
            st.sampled_from([*encodings]),
            st.sampled_from([*encodings]),
            st.integers(0, 30),
        )
        def law(body: bytes, blanks: int, encoding: str, done: str, lost: int) -> None:
            packed = encodings[done](body + b" " * blanks)
            packed = packed[: max(len(packed) - lost, 0)] if lost < 20 else packed
            if len(packed) > 200_000:
                packed = packed[:200_000]
            check_answered(caller(posted(CHAT, packed, JSON_TYPE, f"Content-Encoding: {encoding}")), CHAT)

        return law

    await fuzz(proxy, agent, test)


async def test_no_chunks_are_a_fault_of_the_proxy(proxy: StartProxy, agent: Agent) -> None:
    """A chunked body, whole and well, or with something wrong at one place."""

    def test(caller: Caller) -> Callable[[], None]:
        @examples(120, quickly)
        @given(
            good_bodies,
            st.integers(1, 40),
            st.integers(0, 200),
            st.sampled_from([b"", b"\r", b"\n", b"zz", b"\x00", b";x=y"]),
        )
        def law(body: bytes, size: int, place: int, odd: bytes) -> None:
            pieces = [body[start : start + size] for start in range(0, len(body), size)]
            chunks = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"
            chunks = chunks[:place] + odd + chunks[place:]
            head = f"POST {CHAT} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
            # behind a broken chunk nothing can be made out any more, so an end is added that always is one
            answered = caller(head.encode() + chunks + b"0\r\n\r\n")
            if answered is not None or not odd:
                check_answered(answered, CHAT)

        return law

    await fuzz(proxy, agent, test, body_timeout=0.5)


# Methods, paths and heads

methods = st.sampled_from(
    [
        "GET",
        "HEAD",
        "POST",
        "PUT",
        "PATCH",
        "DELETE",
        "OPTIONS",
        "TRACE",
        "CONNECT",
        "PROPFIND",
        "BREW",
        "get",
        "X" * 50,
    ]
)
visible = st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=20)
paths = st.one_of(
    st.sampled_from(
        [CHAT, COMPLETIONS, MODELS, f"{MODELS}/owl", "/healthz", "/readyz", "*", "/", "/v1", "//", "/v1/embeddings"]
    ),
    st.builds(
        lambda start, rest: start + rest, st.sampled_from(["/", "/v1/", f"{MODELS}/", f"{CHAT}?", f"{CHAT}#"]), visible
    ),
    st.builds(lambda octets: MODELS + "/" + "".join(f"%{octet:02x}" for octet in octets), st.binary(max_size=6)),
    st.sampled_from(
        ["http://elsewhere.example/v1/models", "https://", "http://[", "/%", "/v1/models/%zz", "/" + "x" * 9000]
    ),
)


def is_bodyless(method: str, status: int) -> bool:
    return method == "HEAD" or status == 204


async def test_no_method_and_no_path_is_a_fault_of_the_proxy(proxy: StartProxy, agent: Agent) -> None:
    def test(caller: Caller) -> Callable[[], None]:
        @examples(300, quickly)
        @given(methods, paths, st.sampled_from([b"", chat_body(stream=False)]))
        def law(method: str, path: str, body: bytes) -> None:
            answered = caller(posted(path, body, "Connection: close", method=method), method)
            assert answered is not None, "closed without a word"
            assert answered.status < 500
            assert answered.headers["x-request-id"]
            if answered.status >= 400 and not is_bodyless(method, answered.status):
                check_error(answered)
            if answered.status == 405:
                assert answered.headers["allow"]
            if is_bodyless(method, answered.status):
                assert answered.body == b""

        return law

    await fuzz(proxy, agent, test)


header_values = st.one_of(
    st.text(max_size=20).map(lambda value: value.replace("\r", "").replace("\n", "")),
    st.sampled_from(
        ["", "*", "null", "a, b", "0", "-1", "99999999999999999999", "x" * 8000, "x" * 9000, "100-continue"]
    ),
)
known_headers = [
    "Accept Accept-Encoding Authorization Connection Content-Length Content-Type Cookie Date Expect Host Origin",
    "If-None-Match Last-Event-ID OpenAI-Organization Range TE Trailer Transfer-Encoding Upgrade X-Forwarded-For",
    "X-Request-ID X-Session-Id X-Stainless-Retry-Count Access-Control-Request-Method Access-Control-Request-Headers",
]
odd_headers = ["", "bad name", "ünï", "X" * 9000]
header_names = st.sampled_from([name for line in known_headers for name in line.split()] + odd_headers)


async def test_no_header_is_a_fault_of_the_proxy(proxy: StartProxy, agent: Agent) -> None:
    def test(caller: Caller) -> Callable[[], None]:
        @examples(250, quickly)
        @given(
            st.lists(st.tuples(header_names, header_values), max_size=3),
            st.sampled_from(["GET", "POST", "OPTIONS"]),
            st.sampled_from(["HTTP/1.1", "HTTP/1.0", "HTTP/0.9", "HTTP/9.9", "ICY", ""]),
        )
        def law(headers: list[tuple[str, str]], method: str, version: str) -> None:
            lines = [f"{method} {MODELS} {version}", "Host: localhost", "Connection: close"]
            lines += [f"{key}: {value}" for key, value in headers]
            answered = caller("\r\n".join([*lines, "", ""]).encode("utf-8", "surrogatepass"), method)
            waits = any(key in ("Content-Length", "Transfer-Encoding", "Upgrade") for key, _ in headers)
            assert answered is not None or waits, "closed without a word"
            if answered is not None:
                assert answered.status < 500 or answered.status in (501, 505)
                assert answered.headers["x-request-id"]
                assert answered.status < 400 or check_error_body(answered.body)

        return law

    await fuzz(proxy, agent, test, cors="*", body_timeout=0.2)


starts = st.sampled_from(
    [b"", b"GET ", b"GET / HTTP/1.1\r\n", b"POST /v1/chat/completions HTTP/1.1\r\n", b"\x16\x03\x01"]
)


async def test_no_garbage_is_a_fault_of_the_proxy(proxy: StartProxy, agent: Agent) -> None:
    """Bytes that are no HTTP get a 400, or nothing as long as their first line has no end."""

    def test(caller: Caller) -> Callable[[], None]:
        @examples(150, quickly)
        @given(st.binary(max_size=60), starts)
        def law(garbage: bytes, start: bytes) -> None:
            answered = caller(start + garbage + b"\r\n\r\n\r\n\r\n", half_close=True)
            if answered is not None:
                assert answered.status < 500
                assert answered.status < 400 or check_error_body(answered.body)

        return law

    await fuzz(proxy, agent, test)
