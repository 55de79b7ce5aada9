"""Faults of an agent's stream: the bytes on the wire, and the answers that a client may get.

A `Run` is an agent's stream of one answer. A `Fault` breaks it at a place, and knows the allowed answers. `try_all`
tries cases of faults against the real proxy over a socket.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import accumulate, chain
from pathlib import Path
from typing import Any

from oaicompat_proxy.core.answer import TextBatch, TextPart
from oaicompat_proxy.core.errors import ProxyError
from oaicompat_proxy.core.events import Event
from oaicompat_proxy.dialects.agentick.run_state import END_PREFIX_BYTES
from oaicompat_proxy.dialects.protocol import Reader
from oaicompat_proxy.translation.translator import Translator
from tests.support.api_clients import CHAT_CLIENT, ApiClient, TextOrError
from tests.support.parsing import parse_chat
from tests.support.paths import GOLDEN, RECORDINGS
from tests.support.pipeline import Options, new_reader, translate
from tests.support.proxy import Proxy
from tests.support.raw_client import Caller
from tests.support.scripted_gateway import PATIENCE, Agent, Reply

LIKE_THEM = ("text", "unicode", "reasoning", "own_tool", "client_tool", "spawn", "fail_start", "fail_midstream")
RECORDED_RUNS = sorted(RECORDINGS.glob("*.sse")) or [GOLDEN / f"{name}.native.sse" for name in LIKE_THEM]
"""Recorded runs of a real gateway if available, else similar golden cases."""
ENDED_ELSEWHERE = ("result_only", "error_after_end", "two_runs", "on_interrupt_replayed_asked")
"""Runs of AG-UI whose text is in their last word, that take it back, or that follow another: what is missing there is
missed by nobody."""
DEMO_RUNS = sorted(set(GOLDEN.glob("*.native.sse")) - {GOLDEN / f"ag_ui_{name}.native.sse" for name in ENDED_ELSEWHERE})
"""Runs of the demo agent, and malformed runs."""

WHOLE = 2**31
"""A place after the end of any stream."""

CLOSING = Reply([], headers=(("Connection", "close"),))
"""The reply says `Connection: close`: these tests are not about connections that close without notice."""


@dataclass(frozen=True)
class Run:
    """The agent's stream, the client's request and the settings."""

    body: bytes
    request: dict[str, Any] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)
    client: ApiClient = CHAT_CLIENT

    @cached_property
    def frames(self) -> list[bytes]:
        return [each + b"\n\n" for each in self.body.split(b"\n\n")[:-1]]

    @cached_property
    def head(self) -> bytes:
        return CLOSING.head()

    @cached_property
    def wire(self) -> bytes:
        """The whole response, one chunk per event, as the real gateway sends it."""
        return wire_of(self.frames)

    @cached_property
    def edges(self) -> list[int]:
        """The ends of the frames in the body."""
        return [*accumulate(map(len, self.frames))]

    @cached_property
    def wire_edges(self) -> list[int]:
        """The ends of the frames on the wire, each before the line end of its chunk."""
        framed = (len(CLOSING.framed(each)) for each in self.frames)
        return [end - 2 for end in accumulate(framed, initial=len(self.head))][1:]

    @cached_property
    def options(self) -> Options:
        request = {"model": "owl", "stream": True, "messages": [{"role": "user", "content": "?"}], **self.request}
        chat = parse_chat(json.dumps(request).encode(), max_media=0, max_messages=1)
        form = chat.form
        return self.client.options(
            Options(chat.tool_names, form["include_usage"], form["legacy_functions"], **self.settings)
        )

    @cached_property
    def text(self) -> str | None:
        """The text of the answer to the unbroken run; None if the run fails."""
        return self.answer_text(self.body)

    def answer_text(self, body: bytes) -> str | None:
        """The text of the answer to another body of the agent; None if the run fails."""
        reader = self._new_reader()
        outcome = translate(chain(reader.feed(body), _at_end(reader)), self.options)
        if outcome.failure is not None:
            return None
        return "".join(each.text for each in outcome.chunks if isinstance(each, TextPart | TextBatch))

    @cached_property
    def last_frame(self) -> int:
        """The index of the frame that completes the answer; beyond all frames if the run fails."""
        options = self.options
        reader = self._new_reader()
        translator = Translator(options.answer_options)
        with contextlib.suppress(ProxyError):
            for number, frame in enumerate(self.frames):
                for event in reader.feed(frame):
                    translator.feed(event)
                    if translator.ended:
                        return number
                if reader.finished:
                    return number
        return len(self.frames)

    @cached_property
    def enough(self) -> int:
        """Bytes of the body that complete the answer."""
        return [*self.edges, WHOLE][self.last_frame]

    @cached_property
    def enough_of_end(self) -> bytes:
        """The first bytes of a long `execution_end`, the rest of which is not read; empty if the run ends otherwise."""
        frame = self.frames[self.last_frame] if self.last_frame < len(self.frames) else b""
        size = len(b"data: ") + END_PREFIX_BYTES
        is_long = b'"execution_end"' in frame[:100] and len(frame) - len(b"\n\n") > size
        return frame[:size] if is_long else b""

    @cached_property
    def enough_wire(self) -> int:
        return [*self.wire_edges, WHOLE][self.last_frame]

    def _new_reader(self) -> Reader:
        """The agent sends the same bytes for every request, so an AG-UI run has another id than that of the request."""
        return new_reader(b"", include_tool_activity=self.options.server_tools != "hide", dialect=self.options.dialect)


def _at_end(reader: Reader) -> Iterator[Event]:
    yield from reader.flush(at_end=True)


def is_text(chunk: object) -> bool:
    return isinstance(chunk, TextPart | TextBatch)


def recorded(path: Path, client: ApiClient = CHAT_CLIENT) -> Run:
    """The run in a file, with the request and the settings that belong to it."""
    name = path.name.partition(".")[0]
    more = (path.with_name(f"{name}.{kind}.json") for kind in ("request", "config"))
    request, settings = (json.loads(each.read_text()) if each.exists() else {} for each in more)
    return Run(path.read_bytes(), request, settings, client)


def wire_of(frames: Iterable[bytes]) -> bytes:
    return CLOSING.head() + b"".join(map(CLOSING.framed, frames)) + CLOSING.end()


# Faults of the connection


@dataclass(frozen=True)
class Fault:
    """One way to break a run at a place."""

    kind: str
    """The category in counts: cut, reset, stalled, garbled."""
    name: str
    play: Callable[[Run, int], Reply]
    allows: Callable[[Run, int, str | None], bool]
    """Whether a client may get this text (None: an error) of a run that broke at this place."""
    places: Callable[[Run], int]
    """The number of places at which this fault can break the run."""


def raw(*steps: Any) -> Reply:
    return Reply(steps, framing="raw")


def stops_on_wire(run: Run, place: int, text: str | None) -> bool:
    """The whole answer if its bytes arrived, else an error."""
    return text == (run.text if place >= run.enough_wire else None)


def stops_in_body(run: Run, place: int, text: str | None) -> bool:
    """The whole answer if the data of its last frame arrived, with the empty line after it or without.

    The first bytes of a long `execution_end` are enough: they show how the run ended.
    """
    enough = run.enough - len(b"\n\n")
    if run.enough_of_end:
        enough = run.enough - len(run.frames[run.last_frame]) + len(run.enough_of_end) + 1
    return text == (run.text if place >= enough else None)


def to_the_end_of_the_wire(run: Run) -> int:
    return len(run.wire) + 1


def to_the_end_of_the_body(run: Run) -> int:
    return len(run.body) + 1


CUTS = [
    Fault("cut", "chunked", lambda run, end: raw(run.wire[:end], "cut"), stops_on_wire, to_the_end_of_the_wire),
    # without chunks or length, only the content shows whether the end is a cut
    Fault(
        "cut",
        "close-delimited",
        lambda run, end: Reply([run.body[:end]], framing="close"),
        stops_in_body,
        to_the_end_of_the_body,
    ),
    # the HTTP body ends correctly, but before the event that ends the run
    Fault(
        "cut",
        "properly ended",
        lambda run, end: Reply([run.body[:end]] if end else []),
        stops_in_body,
        to_the_end_of_the_body,
    ),
]
RESET = Fault("reset", "reset", lambda run, end: raw(run.wire[:end], "reset"), stops_on_wire, to_the_end_of_the_wire)
STALL = Fault(
    "stalled", "stalled", lambda run, end: raw(run.wire[:end], "stall"), stops_on_wire, to_the_end_of_the_wire
)


# Changed bytes on a connection that stays open


def harmed(run: Run, place: int, text: str | None) -> bool:
    """Bytes are missing or added: an error, or the same answer if they did not matter."""
    return text in (None, run.text)


def flipped(run: Run, place: int) -> bytes:
    """The wire with one bit changed."""
    return run.wire[:place] + bytes([run.wire[place] ^ 1 << place % 8]) + run.wire[place + 1 :]


def flip_is_noticed(run: Run, place: int, text: str | None) -> bool:
    """A flip in the HTTP framing is an error, or has no effect. A flip in the body gives the answer to the
    flipped body; around the text of a delta it may have no effect, since the rest of its frame need not be read.
    """
    at = place_in_body(run, place)
    if at is None:
        return harmed(run, place, text)
    body = bytearray(run.body)
    body[at] ^= 1 << place % 8
    around_text = b'"event":"content_delta"' in run.body[max(at - 400, 0) : at] and text == run.text
    return around_text or is_answer_to(run, bytes(body), text)


def drop_is_noticed(run: Run, place: int, text: str | None) -> bool:
    """The HTTP chunk is too short, but its content may have been read before the proxy notices."""
    at = place_in_body(run, place)
    if at is None or harmed(run, place, text):
        return harmed(run, place, text)
    return is_answer_to(run, run.body[:at] + run.body[at + 1 :], text)


def place_in_body(run: Run, place: int) -> int | None:
    """The position in the body of a byte of the wire; None for bytes of HTTP's chunk framing."""
    number = next((number for number, edge in enumerate(run.wire_edges) if place < edge), None)
    if number is None or place < (start := run.wire_edges[number] - len(run.frames[number])):
        return None
    return run.edges[number] - len(run.frames[number]) + place - start


def is_answer_to(run: Run, body: bytes, text: str | None) -> bool:
    return text == run.answer_text(body) and (text is None or has_end(run, body))


def has_end(run: Run, body: bytes) -> bool:
    """Whether the body has an intact frame that ends an answer; parsed without the reader under test."""
    if run.enough_of_end and run.enough_of_end in body:
        return True
    return any(is_end_of_run(envelope) or is_end_for_client(run, envelope) for envelope in envelopes(body))


def is_end_of_run(envelope: tuple[str, Any]) -> bool:
    name, data = envelope
    if name == "execution_end" and isinstance(data, dict):
        return data.get("error") is None and not data.get("aborted") and not data.get("spawnPath")
    return name == "RUN_FINISHED"


def is_end_for_client(run: Run, envelope: tuple[str, Any]) -> bool:
    """Whether this event may end the answer of a tick that calls the client's tool."""
    name, _ = envelope
    return bool(run.options.tool_names) and name in (
        *("message_end", "message", "model_response", "tick_end", "tick_start"),
        *("tool_result_start", "tool_result", "tool_confirmation_required", "entry_committed"),
        *("TEXT_MESSAGE_START", "TEXT_MESSAGE_CONTENT", "TEXT_MESSAGE_CHUNK", "TOOL_CALL_RESULT"),
    )


def envelopes(body: bytes) -> Iterator[tuple[str, Any]]:
    for block in re.split(rb"\r\n\r\n|\n\n|\r\r|\r\n\n|\n\r\n|\n\r|\r\n\r", body):
        lines = re.split(rb"\r\n|\n|\r", block)
        data = b"\n".join(line[5:] for line in lines if line.startswith(b"data:"))
        with contextlib.suppress(ValueError, RecursionError):
            envelope = json.loads(data.decode("utf-8", "replace"))
            if isinstance(envelope, dict):
                yield str(envelope.get("event") or envelope.get("type")), envelope.get("data")


FLIP = Fault(
    "garbled",
    "one bit flipped",
    lambda run, place: raw(flipped(run, place)),
    flip_is_noticed,
    lambda run: len(run.wire),
)
DROP = Fault(
    "garbled",
    "one byte dropped",
    lambda run, place: raw(run.wire[:place] + run.wire[place + 1 :]),
    drop_is_noticed,
    lambda run: len(run.wire),
)
DOUBLE = Fault(
    "garbled",
    "one byte doubled",
    lambda run, place: raw(run.wire[: place + 1] + run.wire[place:]),
    harmed,
    lambda run: len(run.wire),
)

FRAMINGS: dict[str, tuple[bytes, bool]] = {
    "in capitals, with zeros in front": (b"000%(size)X\r\n%(data)b\r\n", True),
    "with an extension": (b"%(size)x;a=b\r\n%(data)b\r\n", True),
    "in two chunks": (b"1\r\nd\r\n%(less)x\r\n%(tail)b\r\n", True),
    "without CR before the data": (b"%(size)x\n%(data)b\r\n", False),
    "without CR after the data": (b"%(size)x\r\n%(data)b\n", False),
    "without a line end after the data": (b"%(size)x\r\n%(data)b", False),
    "with an empty line too many": (b"%(size)x\r\n%(data)b\r\n\r\n", False),
    "with a size that is too small": (b"%(less)x\r\n%(data)b\r\n", False),
    "with a size that is too large": (b"%(more)x\r\n%(data)b\r\n", False),
    "with a size that is negative": (b"-%(size)x\r\n%(data)b\r\n", False),
    "with a size that is no number": (b"0x%(size)x\r\n%(data)b\r\n", False),
    "with a size beyond all bounds": (b"ffffffffffffffff%(size)x\r\n%(data)b\r\n", False),
    "behind the end": (b"0\r\n\r\n%(size)x\r\n%(data)b\r\n", False),
    "behind the end of another answer": (b"0\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", False),
}
"""Forms of HTTP chunk framing around one frame, and whether HTTP allows each."""


def framed(run: Run, number: int, how: bytes) -> bytes:
    data = run.frames[number]
    size = len(data)
    pieces = [*map(CLOSING.framed, run.frames)]
    parts = {b"size": size, b"less": size - 1, b"more": size + 1, b"data": data, b"tail": data[1:]}
    pieces[number] = how % parts
    return CLOSING.head() + b"".join(pieces) + CLOSING.end()


def framing(name: str, how: bytes, lawful: bool) -> Fault:
    def allows(run: Run, number: int, text: str | None) -> bool:
        if lawful:
            return text == run.text
        return text == run.text if number > run.last_frame else text in (None, run.text)

    return Fault(
        "garbled", name, lambda run, number: raw(framed(run, number, how)), allows, lambda run: len(run.frames)
    )


FRAMING_FAULTS = [framing(name, how, lawful) for name, (how, lawful) in FRAMINGS.items()]


# Changed order or content of frames


def without(frames: Sequence[bytes], number: int) -> list[bytes]:
    return [*frames[:number], *frames[number + 1 :]]


def twice(frames: Sequence[bytes], number: int) -> list[bytes]:
    return [*frames[: number + 1], *frames[number:]]


def swapped(frames: Sequence[bytes], number: int) -> list[bytes]:
    return [*frames[:number], *frames[number : number + 2][::-1], *frames[number + 2 :]]


def last(frames: Sequence[bytes], number: int) -> list[bytes]:
    return [*without(frames, number), frames[number]]


def torn(frames: Sequence[bytes], number: int) -> list[bytes]:
    """The empty line after the frame is missing, so it is joined to the next."""
    return [*frames[:number], frames[number][:-1], *frames[number + 1 :]]


def halved(frames: Sequence[bytes], number: int) -> list[bytes]:
    return [*frames[:number], frames[number][: len(frames[number]) // 2] + b"\n\n", *frames[number + 1 :]]


def moved(move: Callable[[Sequence[bytes], int], list[bytes]]) -> Fault:
    return Fault(
        "garbled",
        f"a frame {move.__name__}",
        lambda run, number: raw(wire_of(move(run.frames, number))),
        lambda run, number, text: is_answer_to(run, b"".join(move(run.frames, number)), text),
        lambda run: len(run.frames),
    )


FRAME_FAULTS = [moved(move) for move in (without, twice, swapped, last, torn, halved)]


# Running the faults


@dataclass(frozen=True)
class Case:
    fault: Fault
    place: int
    stream: bool


async def try_all(front: Proxy, agent: Agent, run: Run, cases: Sequence[Case], at_once: int = 40) -> None:
    """Checks that every case ends in time with an answer that its fault allows, and that no run or session is left."""

    def choose(exchange: Any) -> Reply:
        case = cases[int(exchange.prompt)]
        return case.fault.play(run, case.place)

    agent.replies("/", choose)
    agent.replies("/send", choose)
    waiting = iter(enumerate(cases))

    async def work() -> None:
        async with contextlib.aclosing(Caller(front.port)) as caller:
            for number, case in waiting:
                text, error = await ask(caller, run, case, number)
                where = f"{case.fault.name} at {case.place}, {'streamed' if case.stream else 'whole'}"
                assert case.fault.allows(run, case.place, text), f"{text!r} {error} after: {where}"

    async with asyncio.TaskGroup() as group:
        for _ in range(min(at_once, len(cases))):
            group.create_task(work())
    await agent.until(lambda: not agent.left_behind)


async def ask(caller: Caller, run: Run, case: Case, number: int) -> TextOrError:
    """The text of a success, or None and the client's error. Anything else fails the test."""
    request = run.client.request(str(number), run.request, stream=case.stream)
    async with asyncio.timeout(PATIENCE):
        received = await caller.post(request, path=run.client.path)
    assert b"Traceback" not in received.body
    return run.client.read(received.status, received.body, run.options, stream=case.stream)
