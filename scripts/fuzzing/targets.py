"""Laws for any input: each target takes bytes and fails if a law does not hold.

A fuzzer chooses the bytes; the tests try the seeds and neighbours of theirs. The first bytes of an input say how it
is used, so that a fuzzer can choose that too.
"""

from __future__ import annotations

import base64
import random
import re
from collections.abc import Callable, Iterable, Iterator
from itertools import pairwise
from typing import Any

from oaicompat_proxy.api.anthropic.api import MESSAGES
from oaicompat_proxy.api.openai.media import MediaReader
from oaicompat_proxy.api.openai.recorded_fields import RECORDED_FIELDS as ANSWERS
from oaicompat_proxy.api.openai.responses.api import RESPONSES
from oaicompat_proxy.core.answer import TextBatch, TextPart
from oaicompat_proxy.core.errors import InvalidRequest, ProxyError, UpstreamInterrupted
from oaicompat_proxy.core.events import Event
from oaicompat_proxy.core.sse import FrameReader
from oaicompat_proxy.dialects.agentick.reader import EventReader
from oaicompat_proxy.dialects.registry import DIALECTS
from oaicompat_proxy.recordings.masking import Masker, mask
from tests.support.api_clients import MESSAGES_CLIENT, RESPONSES_CLIENT, TextOrError
from tests.support.conformance import check_body, check_error_body, check_stream
from tests.support.pipeline import MAX_FRAME, Options, Outcome, collected, read_events, streamed, translate

from .files import KEYS_SEEDS, SETTINGS_SEEDS, keys_file, settings_file
from .places import GOLDEN, HEADER, RECORDINGS
from .requests import REQUESTS

MOST_CUTS = 16


def pieces(data: bytes, choice: bytes) -> list[bytes]:
    """The bytes split into reads."""
    chance = random.Random(choice)
    cuts = sorted(chance.randint(0, len(data)) for _ in range(chance.randint(0, MOST_CUTS)))
    return [data[start:stop] for start, stop in pairwise([0, *cuts, len(data)])]


# The event-stream standard


def frames(data: bytes) -> None:
    """Cuts change nothing, and the frames are those that the standard's own words give."""
    choice, body = data[:HEADER], data[HEADER:]
    reader = FrameReader(max_frame=MAX_FRAME)
    read = [(frame.data, frame.event) for piece in pieces(body, choice) for frame in reader.feed(piece)]
    assert read == [*interpreted(body)]


def interpreted(body: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Data and name of each event: "Interpreting an event stream", word by word, all at once."""
    *lines, _ = re.split(rb"\r\n|\n|\r", body.removeprefix(b"\xef\xbb\xbf"))
    data: list[bytes] = []
    event = b""
    for line in lines:
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if not line:
            if data:
                yield b"\n".join(data), event or b"message"
            data, event = [], b""
        elif name == b"data":
            data.append(value)
        elif name == b"event":
            event = value


# A run


OPTIONS = (
    Options(),
    Options(frozenset({"tide", "weather"}), include_usage=True),
    Options(frozenset({"tide"}), legacy_functions=True, reasoning_field="both"),
    Options(frozenset({"tide"}), server_tools="content", confirmations="ask"),
    Options(server_tools="reasoning", confirmations="approve", reasoning_field="none", tick_separator=""),
)


def run(data: bytes) -> None:
    """One ending that a strict client takes, in both forms the same; cuts and the fast path change nothing."""
    choice, body = data[:HEADER], data[HEADER:]
    options = OPTIONS[sum(choice[:1]) % len(OPTIONS)]
    include_tool_activity = options.server_tools != "hide"
    slow = translate(read_slowly(body, include_tool_activity), options)
    for reads in (pieces(body, choice), [body]):
        outcome = translate(read_events(reads, include_tool_activity=include_tool_activity), options)
        check(outcome, options)
        if says_no_json(slow.failure) and not says_no_json(outcome.failure):
            # a piece of text may pass although what stands around it, and nobody reads, is no JSON
            assert text_of(outcome).startswith(text_of(slow)), (outcome, slow)
        elif isinstance(slow.failure, UpstreamInterrupted) and type(outcome.failure) is not UpstreamInterrupted:
            # the end of a long last frame may be missing: its first bytes show how the run ended
            assert text_of(outcome).startswith(text_of(slow)), (outcome, slow)
        elif not says_no_json(slow.failure):
            assert parts_of(outcome) == parts_of(slow), (outcome, slow)


def ag_ui(data: bytes) -> None:
    """The same for AG-UI, in which a stream that breaks off before its last word is never an answer."""
    choice, body = data[:HEADER], data[HEADER:]
    options = OPTIONS[sum(choice[:1]) % len(OPTIONS)]._replace(dialect="ag-ui")
    include_tool_activity = options.server_tools != "hide"
    whole = translate(read_events([body], include_tool_activity=include_tool_activity, dialect="ag-ui"), options)
    check(whole, options)
    cut = translate(
        read_events(pieces(body, choice), include_tool_activity=include_tool_activity, dialect="ag-ui"), options
    )
    assert parts_of(cut) == parts_of(whole), (cut, whole)
    broken = translate(
        read_events([body], include_tool_activity=include_tool_activity, dialect="ag-ui", ends=False), options
    )
    check(broken, options)
    assert broken.failure is not None or parts_of(broken) == parts_of(whole), broken


def answers(data: bytes) -> None:
    """The same in the other APIs: one ending that a strict client takes, and both forms say the same."""
    choice, body = data[:HEADER], data[HEADER:]
    asked = OPTIONS[sum(choice[:1]) % len(OPTIONS)]
    for client, api in ((RESPONSES_CLIENT, RESPONSES), (MESSAGES_CLIENT, MESSAGES)):
        options = client.options(asked)
        outcome = translate(read_events(pieces(body, choice), include_tool_activity=True), options)
        stream, whole = streamed(outcome, options, api), collected(outcome, options, api)
        status = 200 if outcome.failure is None else outcome.failure.status
        result = client.read(status, whole, options, stream=False)
        assert stream is None or message_of(client.read(200, stream, options, stream=True)) == message_of(result)


def message_of(result: TextOrError) -> str | None:
    """The text of a success, or the message of an error, which has no code and no `param` in a stream."""
    text, error = result
    return text if error is None else error["message"]


def says_no_json(failure: ProxyError | None) -> bool:
    return failure is not None and "is no JSON" in failure.message


def text_of(outcome: Outcome) -> str:
    return "".join(each for each in parts_of(outcome) if isinstance(each, str))


def read_slowly(body: bytes, include_tool_activity: bool) -> Iterable[Event]:
    """The events, read byte by byte, without the fast path. Raises UpstreamError after the events before."""
    reader = EventReader(max_frame=MAX_FRAME, include_tool_activity=include_tool_activity)
    for at in range(len(body)):
        yield from reader.feed(body[at : at + 1])


def check(outcome: Outcome, options: Options) -> None:
    stream, body = streamed(outcome, options), collected(outcome, options)
    error = check_error_body(body) if outcome.failure is not None else None
    whole = check_body(body, reasoning_field=options.reasoning_field) if error is None else None
    if stream is None:
        return
    answer = check_stream(stream, include_usage=options.include_usage, reasoning_field=options.reasoning_field)
    assert answer.error == error
    if whole is not None:
        assert (answer.text, answer.tool_calls) == (whole.text, whole.tool_calls)


def parts_of(outcome: Outcome) -> list[Any]:
    """The chunks with neighbouring text joined, and the failure."""
    parts: list[Any] = []
    for chunk in outcome.chunks:
        text = chunk.text if isinstance(chunk, TextPart | TextBatch) else ""
        if text and parts and isinstance(parts[-1], str):
            parts[-1] += text
        else:
            parts.append(text or chunk)
    failure = outcome.failure
    return [*parts, None if failure is None else (type(failure), failure.message)]


# A masked recording

RECORDED = (*(dialect.recorded_fields for dialect in DIALECTS.values()), ANSWERS)


def masked(data: bytes) -> None:
    """Cuts change nothing, masking again neither, and no letter but `x` stays in what people say."""
    choice, body = data[:HEADER], data[HEADER:]
    fields = RECORDED[sum(choice[:1]) % len(RECORDED)]
    once = mask(body, fields)
    masker = Masker(fields)
    assert b"".join([*map(masker.feed, pieces(body, choice)), masker.finish()]) == once
    assert mask(once, fields) == once
    assert masker.buffered == 0


# A picture, a sound or a file

MAX_MEDIA = 2**16


def media(data: bytes) -> None:
    """Refused with its place, or base64 that is sound, bounded, and reads the same again."""
    text = data[HEADER:].decode("utf-8", "replace")  # a request's body has no other texts
    for part in (
        {"type": "image_url", "image_url": {"url": text}},
        {"type": "input_audio", "input_audio": {"data": text, "format": "wav"}},
        {"type": "file", "file": {"file_data": text}},
    ):
        try:
            read = MediaReader(MAX_MEDIA).read(part, "part")
        except InvalidRequest as error:
            if not str(error.param).startswith("part."):
                raise
            continue
        if read.data is None:
            assert read.url == text
            continue
        assert len(base64.b64decode(read.data, validate=True)) <= MAX_MEDIA
        again = {"type": "image_url", "image_url": {"url": f"data:{read.mime_type or ''};base64,{read.data}"}}
        assert MediaReader(MAX_MEDIA).read(again, "part").data == read.data


# Seeds


def run_seeds() -> list[bytes]:
    paths = sorted([*GOLDEN.glob("*.native.sse"), *RECORDINGS.glob("*.sse")])
    return [bytes([number % len(OPTIONS)]) + b"\0\0\1" + path.read_bytes() for number, path in enumerate(paths)]


def ag_ui_seeds() -> list[bytes]:
    paths = sorted([*GOLDEN.glob("ag_ui_*.native.sse"), *(RECORDINGS / "ag-ui").glob("*.sse")])
    return [bytes([number % len(OPTIONS)]) + b"\0\0\1" + path.read_bytes() for number, path in enumerate(paths)]


MEDIA_SEEDS = [
    b"data:image/png;name=x.png;base64,QU\r\n JD",
    b"data:,%41%42",
    b"DATA:text/plain;charset=utf-8,A",
    b"https://example.org/a.png?q=1#f",
    b"QUJD",
    b"data:;base64,QQ%3D%3D",
]

FRAME_SEEDS = [
    b"data: one\n\ndata: two\r\n\r\nevent: name\rdata\r\r",
    b"\xef\xbb\xbf: comment\n\ndata:a\ndata: b\nid: 7\n\nretry: 1\n\n",
    b"data: \xe2\x80\xa8\n\ndata:" + b"x" * 300 + b"\n\nevent: e\n\ndata: after\n\n",
]

Target = Callable[[bytes], None]

TARGETS: dict[str, tuple[Target, Callable[[], list[bytes]]]] = {
    "frames": (frames, lambda: [bytes(HEADER) + each for each in FRAME_SEEDS]),
    "run": (run, run_seeds),
    "ag-ui": (ag_ui, ag_ui_seeds),
    "answers": (answers, run_seeds),
    "masked": (masked, run_seeds),
    "media": (media, lambda: [bytes(HEADER) + each for each in MEDIA_SEEDS]),
    **REQUESTS,
    "settings": (settings_file, lambda: SETTINGS_SEEDS),
    "keys": (keys_file, lambda: KEYS_SEEDS),
}
"""The law and its seeds."""
