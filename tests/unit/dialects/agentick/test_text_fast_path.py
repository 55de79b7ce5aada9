"""The fast path for plain text gives the events of the slow path: for any frames, any escapes, any cuts."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from oaicompat_proxy.core.errors import UpstreamError
from oaicompat_proxy.core.events import MessageCompleted, RunEnded, RunFailed, TextDelta, TextDeltas
from oaicompat_proxy.core.sse import FrameReader
from oaicompat_proxy.dialects.agentick.frames import data_key_of
from oaicompat_proxy.dialects.agentick.reader import EventReader
from oaicompat_proxy.dialects.agentick.text_fast_path import FrameTemplate, decode_together
from tests.support.conformance import check_body, check_stream
from tests.support.examples import examples
from tests.support.paths import GOLDEN, RECORDINGS
from tests.support.pipeline import MAX_FRAME, Options, collected, streamed, translate

STREAMS = [
    *sorted(RECORDINGS.glob("*.sse")),
    *sorted(GOLDEN.glob("*.native.sse")),
]

BEGINNING = '{"type":"event","event":"content_delta","sessionId":"s","data":{"type":"content_delta",'
MEMBERS = '"id":"evt_1","sequence":8,"tick":1,"timestamp":"2027-01-01T00:00:00.000Z",'
MIDDLE = '"blockType":"text","blockIndex":0,"delta":"'
END = '","executionId":"e1"}}'


def wire(payload: str | bytes) -> bytes:
    return b"data: " + (payload if isinstance(payload, bytes) else payload.encode()) + b"\n\n"


def plain(
    inside: str, *, beginning: str = BEGINNING, members: str = MEMBERS, middle: str = MIDDLE, end: str = END
) -> bytes:
    """A real gateway's frame; `inside`: the inside of the JSON string."""
    return wire(beginning + members + middle + inside + end)


def other(name: str, /, **data: Any) -> bytes:
    """Any other frame."""
    envelope = {"type": "event", "event": name, "sessionId": "s", "data": {"type": name, **data} if data else {}}
    return wire(orjson.dumps(envelope))


BLOCK = other("content_start", blockType="text", blockIndex=0, executionId="e1")
"""The frame that the template is made from."""
START = other("execution_start", executionId="e1") + BLOCK
LAST_WORD = other("execution_end")
FIRST = plain("First.")


# Two readers


def for_slow_path(reads: Iterable[bytes]) -> list[bytes]:
    """The same bytes, cut behind the name of each field: no read holds the beginning of a text frame."""
    return [piece for data in reads for piece in re.split(rb"(?<=data: )", data)]


def texts_of(deltas: TextDeltas) -> list[str]:
    """The text of each delta, which joined are the text of the batch."""
    texts = [orjson.loads(b'"' + each + b'"') for each in deltas.encoded]
    assert deltas.text == "".join(texts)
    return texts


def read_all(reader: EventReader, reads: Iterable[bytes | list[bytes]]) -> list[Any]:
    """The events of a reader, text by text; an error as the last item. A list is a read that came in HTTP chunks."""
    results: list[Any] = []
    try:
        for data in reads:
            for event in reader.feed(data) if isinstance(data, bytes) else reader.feed_chunks(data):
                results += map(TextDelta, texts_of(event)) if isinstance(event, TextDeltas) else [event]
    except UpstreamError as error:
        results.append((type(error), str(error)))
    return [event for event in results if event != TextDelta("")]


def both(reads: list[bytes], max_frame: int = MAX_FRAME) -> tuple[list[Any], list[Any]]:
    """The events of the fast path and of the slow one."""
    fast = read_all(EventReader(max_frame=max_frame), reads)
    return fast, read_all(EventReader(max_frame=max_frame), for_slow_path(reads))


def texts(events: list[Any]) -> list[str]:
    return [event.text for event in events if isinstance(event, TextDelta)]


# What is generated

INSIDES = [
    *("Hi", " ", "é", "\U0001f30a", "\x7f", "\u200b", "\ufeff", "{", "}", "[", "]", ":", ",", "data: ", "spawnPath"),
    *('\\"', "\\\\", "\\/", "\\b", "\\f", "\\n", "\\r", "\\t", "\\u0041", "\\u0022", "\\u005c", "\\u0000", "\\u00e9"),
    *("\\ud83c\\udf0a", "\\ud83c", "\\udf0a", "\\uD83C\\uDF0A", "\\u2028", "\\u2029", "\\u0085"),
    *("\u2028", "\u2029", "\x85"),
    *('\\",\\"executionId\\":\\"e1\\"}}', '\\"blockType\\":\\"text\\",\\"blockIndex\\":0,\\"delta\\":\\"'),
]
"""Pieces of the inside of a JSON string, as some gateway may write it."""

BROKEN_INSIDES = [
    *(b"\xff", b"\xed\xa0\xbc", b"\xc0\x80", b"\xe2\x80", b"\x80", b"\xf4\x90\x80\x80"),
    *(b"\0", b"\x01", b"\t", b"\x1f", b"\n", b"\r"),
    *(b"\\", b"\\x", b"\\u12", b"\\ud83c\\", b"\\u", b'"', b'","', b'",["', b'"],"', b'",{"a":"', b'":"', b'"},"'),
    *(END.encode(), MIDDLE.encode(), MEMBERS.encode() + MIDDLE.encode(), END.encode() + b"\n\n", b"\n\n"),
]
"""No JSON, or no UTF-8, or another frame altogether."""

WELL = st.lists(st.sampled_from(INSIDES), max_size=5).map("".join)
ODD_WELL = st.text(alphabet=st.characters(exclude_characters='"\\', exclude_categories=["Cc", "Cs"]), max_size=6)
CLEAN = st.text(max_size=8, alphabet=st.characters(exclude_categories=["Cs"]) | st.sampled_from('"\\\n\x00'))
BROKEN = st.lists(st.sampled_from([*(each.encode() for each in INSIDES[:20]), *BROKEN_INSIDES]), max_size=4).map(
    b"".join
)

AT_FRONT = [
    MEMBERS,
    MEMBERS.replace("evt_1", "evt_22").replace("8", "123456"),
    MEMBERS.replace('"id":"evt_1",', ""),
    "",
    MEMBERS + '"spawnPath":["child"],',
    MEMBERS + '"spawnPath":"child",',
    MEMBERS + '"spawnPath":[],',
    MEMBERS + '"sp\\u0061wnPath":["child"],',
    MEMBERS + '"executionId":"e2",',
    MEMBERS + '"delta":"other",',
    MEMBERS + '"blockType":"reasoning",',
    MEMBERS + '"blockType":"reasoning","x\\',
    MEMBERS + '"raw":{"delta":"other","blockType":"text"},',
    MEMBERS + '"raw":{"blockType":"text","blockIndex":0,"delta":"other"},',
    MEMBERS + '"raw":["blockType","delta"],',
    MEMBERS + '"raw":null,"x":1.5e3,"y":-1,"z":true,',
    MEMBERS + '"x":"}},",',
    MEMBERS + '"x":"\\",",',
    ' "id" : "evt_1" ,',
]
MIDDLES = [
    MIDDLE,
    MIDDLE.replace("0", "1"),
    MIDDLE.replace("text", "reasoning"),
    MIDDLE.replace("text", "json"),
    MIDDLE.replace('"blockType":"text",', ""),
    '"blockIndex":0,"delta":"',
    '"delta":"',
    '"blockType":"text","delta":"',
    '"blockType":"text","raw":{"type":"text-delta","delta":"other"},"delta":"',
    '"blockType":"text","raw":{"x":1},"blockIndex":0,"delta":"',
    '"blockType":"text", "blockIndex":0, "delta": "',
    '"blockType":"text","blockIndex":0,"Delta":"',
]
ENDS = [
    END,
    END.replace("e1", "e2"),
    '"}}',
    '","executionId":"e1","spawnPath":["child"]}}',
    '","executionId":"e1","spawnPath":[]}}',
    '","executionId":"e1","raw":{"type":"text-delta","delta":"other","id":"0"}}}',
    '","executionId":"e1","raw":{"choices":[{"delta":{"content":"other"}}],"object":"chunk"}}}',
    '","executionId":"e1","delta":"other"}}',
    '","executionId":"e1","delta": "other","x":"y"}}',
    '","blockType":"text","executionId":"e1"}}',
    '","blockType":"reasoning","executionId":"e1"}}',
    '","executionId":"e1"},"sessionId":"s"}',
    '","executionId":"e1"},"data":{"type":"content_delta","delta":"other"}}',
    '","executionId":"e1"} }',
]
BEGINNINGS = [
    BEGINNING,
    BEGINNING.replace('"s"', '"another"'),
    BEGINNING.replace('"s"', '"' + "long" * 100 + '"'),
    '{"event":"content_delta","type":"event","data":{"type":"content_delta",',
    '{"data":{"type":"content_delta",',
    BEGINNING.replace('"sessionId":"s"', '"x":{"data":{"type":"content_delta","delta":"other","y":"z"}}'),
]


def mostly(usual: str, unusual: list[str]) -> st.SearchStrategy[str]:
    return st.integers(0, 9).flatmap(lambda dice: st.sampled_from(unusual) if dice == 0 else st.just(usual))


PLAIN = st.builds(
    lambda inside, beginning, members, middle, end: plain(
        inside, beginning=beginning, members=members, middle=middle, end=end
    ),
    WELL | ODD_WELL,
    mostly(BEGINNING, BEGINNINGS),
    mostly(MEMBERS, AT_FRONT),
    mostly(MIDDLE, MIDDLES),
    mostly(END, ENDS),
)
MESSAGE = {"message": {"role": "assistant", "content": [{"type": "text", "text": "copy"}]}, "stopReason": "stop"}
USAGE = {"inputTokens": 3, "outputTokens": 4, "totalTokens": 7}
OTHERS = st.sampled_from(
    [
        *(other("tick_start", tick=2), other("message_start", role="assistant"), other("compiled", system="x" * 600)),
        *(other("content_start", blockType="text"), other("content_end", blockType="text")),
        *(other("reasoning_delta", delta="hm"), other("content_delta", blockType="text", blockIndex=0, delta="")),
        *(other("tool_call_start", callId="c", name="n"), other("tool_call_delta", callId="c", delta='"')),
        *(other("tool_call", callId="c", name="n", input={}), other("message", **MESSAGE, usage=USAGE)),
        *(other("model_response", modelOutput=MESSAGE), other("entry_committed", entry=MESSAGE)),
        *(other("message_end", stopReason="stop", usage=USAGE), other("tick_end", tick=1, usage=USAGE)),
        *(other("error", error={"message": "boom"}), other("result", result={"response": "all", "usage": USAGE})),
        *(other("execution_end", executionId="e1"), other("execution_end", executionId="e1", error={"message": "no"})),
        other("execution_end", executionId="e2", output="x" * 20_000, error={"message": "not ours"}),
        *(LAST_WORD, wire('{"type":"event","event":"error","data":{"error":"gone"}}'), START),
        *(b": waiting\n\n", b"\n", b"\n\n", b"event: x\n\n", b"id: 7\n\n", b"retry: 1\n\n", b"event: error\n"),
    ]
)
FRAMINGS = st.sampled_from(
    [
        lambda frame: frame.replace(b"\n", b"\r\n"),
        lambda frame: frame.replace(b"\n", b"\r"),
        lambda frame: b": comment\n" + frame,
        lambda frame: frame[:-1] + b": comment\n\n",
        lambda frame: frame[:-1] + b":" + (MIDDLE + "forged" + END).encode() + b"\n\n",
        lambda frame: b"event: message\n" + frame,
        lambda frame: b"id: 1\n" + frame,
        lambda frame: frame[:-1] + b"event: x\n\n",
        lambda frame: frame.replace(b"data: ", b"data:", 1),
        lambda frame: frame.replace(b"data: ", b"data:  ", 1),
        lambda frame: frame.replace(b',"', b',\ndata: "', 6),
        lambda frame: frame.replace(b',"blockType', b',\ndata: "blockType', 1),
        lambda frame: frame.replace(b',"delta', b'\ndata: ,"delta', 1),
        lambda frame: frame.replace(b',"delta', b'\n,"delta', 1),
        lambda frame: frame.replace(b',"blockType', b',\n"blockType', 1),
        lambda frame: frame[:-1],
        lambda frame: b"\xef\xbb\xbf" + frame,
    ]
)
ODDLY_FRAMED = st.builds(lambda frame, framing: framing(frame), PLAIN, FRAMINGS)
TAUGHT = st.lists(st.sampled_from(["A", "B c", "\\n", "é"]).map(plain), min_size=1, max_size=4).map(b"".join)
"""Some that are surely of one shape, so that there is a fast path to compare."""
FRAMES = st.lists(TAUGHT | PLAIN | PLAIN | OTHERS | ODDLY_FRAMED, max_size=14).map(b"".join)
CUTS = st.lists(st.integers(1, 900), min_size=1, max_size=6) | st.just([1]) | st.just([10**6])
"""Sizes of the reads, again and again."""


MUTATIONS = st.tuples(st.integers(0, 2**31), st.binary(max_size=2), st.integers(0, 3))
"""Places behind the first text, and what stands there instead of so many bytes."""


def mutated(stream: bytes, mutations: Iterable[tuple[int, bytes, int]]) -> bytes:
    for place, replacement, count in mutations:
        place = len(START + FIRST) + place % (len(stream) - len(START + FIRST))
        stream = stream[:place] + replacement + stream[place + count :]
    return stream


def is_same_but_forgiven(fast: list[Any], slow: list[Any]) -> bool:
    """Whether the events are the same, or the slow path has rejected bytes that the fast path does not parse."""
    refused = bool(slow) and slow[-1] == (UpstreamError, "The agent sent an event that is no JSON.")
    return fast == slow or (refused and fast[: len(slow) - 1] == slow[:-1])


def cut(stream: bytes, sizes: Iterable[int]) -> list[bytes]:
    reads = []
    for size in itertools.cycle(sizes):
        reads.append(stream[:size])
        stream = stream[size:]
        if not stream:
            break
    return reads


@examples(600)
@given(FRAMES, CUTS)
def test_any_frames_in_any_cuts_say_the_same_on_both_paths(frames: bytes, sizes: list[int]) -> None:
    fast, slow = both(cut(START + FIRST + frames, sizes))
    assert fast == slow


@examples(600)
@given(FRAMES, st.lists(MUTATIONS, max_size=2), CUTS, CUTS | st.none())
def test_chunks_are_read_like_their_bytes(
    frames: bytes, mutations: list[tuple[int, bytes, int]], sizes: list[int], chunk_sizes: list[int] | None
) -> None:
    """Whether a chunk is a frame, several, or a part of one; and whether a read ends with a chunk or within it."""
    reads = cut(mutated(START + FIRST + frames + plain("a") + plain("b"), mutations), sizes)
    chunks = [[frame for frame in re.split(rb"(?<=\n\n)", data) if frame] for data in reads]
    if chunk_sizes is not None:
        chunks = [[each for frame in read for each in cut(frame, chunk_sizes)] for read in chunks]
    slow = read_all(EventReader(max_frame=MAX_FRAME), for_slow_path(reads))
    assert is_same_but_forgiven(read_all(EventReader(max_frame=MAX_FRAME), chunks), slow)


def test_cut_chunks_among_frames_take_the_fast_path(monkeypatch: pytest.MonkeyPatch) -> None:
    """A read of the socket ends within a chunk, and another brings the rest."""
    frames = [plain(f"{number} ") for number in range(9)]
    readers = [EventReader(max_frame=MAX_FRAME) for _ in frames[3][1:]]
    for reader in readers:
        read_all(reader, [START + FIRST])
    monkeypatch.setattr(FrameReader, "cut", lambda *_: pytest.fail("the ends of frames are looked for"))
    for at, reader in enumerate(readers, start=1):
        chunks = [*frames[:3], frames[3][:at], frames[3][at:], *frames[4:]]
        assert texts(read_all(reader, [chunks])) == [f"{number} " for number in range(9)]


@pytest.mark.slow
@examples(150)
@given(FRAMES, CUTS, st.integers(1024, 4096))
def test_the_largest_frame_is_the_same_on_both_paths(frames: bytes, sizes: list[int], max_frame: int) -> None:
    stream = START + FIRST + frames + plain("x" * 900) + plain("y" * (max_frame - 300)) + plain("z" * max_frame)
    fast, slow = both(cut(stream, sizes), max_frame)
    assert fast == slow


@examples(300)
@given(st.lists(BROKEN, max_size=8), CUTS)
def test_broken_texts_are_the_slow_paths_affair(insides: list[bytes], sizes: list[int]) -> None:
    """Among valid ones, also if the texts are valid when joined."""
    front, back = (BEGINNING + MEMBERS + MIDDLE).encode(), END.encode()
    frames = b"".join(wire(front + inside + back) + plain("ok") for inside in insides)
    fast, slow = both(cut(START + FIRST + frames, sizes))
    assert fast == slow


@examples(600)
@given(FRAMES, st.lists(MUTATIONS, max_size=3), CUTS)
def test_damaged_frames_say_the_same_or_are_forgiven_around_their_text(
    frames: bytes, mutations: list[tuple[int, bytes, int]], sizes: list[int]
) -> None:
    """The slow path may reject bytes around a text, which the fast path does not parse; nothing else may differ."""
    fast, slow = both(cut(mutated(START + FIRST + frames + plain("Last."), mutations), sizes))
    assert is_same_but_forgiven(fast, slow)


# The same answer

PLAIN_OPTIONS = Options()
OPTIONS = st.builds(
    PLAIN_OPTIONS._replace,
    include_usage=st.booleans(),
    tick_separator=st.sampled_from(["\n\n", ""]),
    server_tools=st.sampled_from(["hide", "content"]),
)


def answers(reads: list[bytes], options: Options) -> tuple[bytes | None, bytes]:
    """The streamed body and the whole one."""
    reader = EventReader(max_frame=MAX_FRAME)
    outcome = translate(itertools.chain.from_iterable(map(reader.feed, reads)), options)
    return streamed(outcome, options), collected(outcome, options)


def payloads(stream: bytes | None) -> list[Any]:
    return [] if stream is None else [orjson.loads(each[6:]) for each in stream.split(b"\n\n") if each[6:7] == b"{"]


def as_gateways_write(text: str) -> bytes:
    """As `JSON.stringify` of a real gateway does."""
    return plain(json.dumps(text, ensure_ascii=False)[1:-1])


@pytest.mark.slow
@examples(250)
@given(st.lists(CLEAN.map(as_gateways_write) | OTHERS, max_size=12).map(b"".join), CUTS, OPTIONS)
def test_a_real_gateways_text_becomes_the_same_bytes_on_both_paths(
    frames: bytes, sizes: list[int], options: Options
) -> None:
    reads = cut(START + FIRST + frames + LAST_WORD, sizes)
    assert answers(reads, options) == answers(for_slow_path(reads), options)


@examples(250)
@given(FRAMES, CUTS, OPTIONS)
def test_any_frames_become_the_same_answer_on_both_paths(frames: bytes, sizes: list[int], options: Options) -> None:
    """The same chunks; escapes that no real gateway writes may stay as they are. Every client can read them."""
    reads = cut(START + FIRST + frames + LAST_WORD, sizes)
    fast, slow = answers(reads, options), answers(for_slow_path(reads), options)
    assert payloads(fast[0]) == payloads(slow[0])
    assert fast[1] == slow[1]
    if fast[0] is not None and b'"error"' not in fast[1][:10]:
        streamed_text = check_stream(fast[0], include_usage=options.include_usage).text
        assert streamed_text == check_body(fast[1]).text


@pytest.mark.slow
@pytest.mark.parametrize("path", STREAMS, ids=lambda path: path.stem)
@pytest.mark.parametrize("size", [1, 7, 100, 1448, 65536])
def test_a_recorded_run_becomes_the_same_bytes_on_both_paths(path: Path, size: int) -> None:
    stream = path.read_bytes()
    reads = [stream[at : at + size] for at in range(0, len(stream), size)]
    assert answers(reads, PLAIN_OPTIONS) == answers(for_slow_path(reads), PLAIN_OPTIONS)


# Which frames the template is of


def test_another_run_in_the_same_session_is_not_taken_for_this_one() -> None:
    reads = [START + plain("a", end=END.replace("e1", "e2")) + plain("b")]
    fast, slow = both(reads)
    assert fast == slow


# The fast path is taken


def batches(*reads: bytes, reader: EventReader | None = None) -> list[list[str]]:
    """The texts of the fast path, in their batches."""
    reader = reader or EventReader(max_frame=MAX_FRAME)
    return [texts_of(event) for data in reads for event in reader.feed(data) if isinstance(event, TextDeltas)]


def test_neighbours_of_one_read_are_joined() -> None:
    frames = [plain(str(number), members=MEMBERS.replace("8", str(number))) for number in range(100)]
    numbers = list(map(str, range(100)))
    assert batches(START, b"".join(frames)) == [numbers]
    assert batches(START, *frames) == [[number] for number in numbers]
    assert batches(START + b"".join(frames) + LAST_WORD) == [numbers]


def test_frames_around_one_that_is_cut_go_the_fast_way() -> None:
    frame = plain("Hello")
    for at in range(1, len(frame) - 1):
        assert batches(START + frame + frame[:at], frame[at:] + frame) == [["Hello"], ["Hello", "Hello"]]


def test_other_frames_between_do_not_end_it() -> None:
    other_frames = other("usage", usage=USAGE) + other("compiled", system="x") + b": waiting\n\n"
    reads = [START + plain("a"), other_frames + plain("b") + plain("c") + other_frames, plain("d")]
    assert batches(*reads) == [["a"], ["b", "c"], ["d"]]


@pytest.mark.parametrize("index", [0, 1, 12])
def test_the_template_is_of_the_latest_block_of_text(index: int) -> None:
    """A model that thinks first writes its text in block 1."""
    middle = MIDDLE.replace("0", str(index))
    block = other("content_start", blockType="text", blockIndex=index, executionId="e1")
    assert batches(START, plain("a") + plain("b"), block, plain("c", middle=middle)) == [["a", "b"], ["c"]]


@pytest.mark.parametrize("fields", [{"blockIndex": 0}, {"executionId": "e1"}, {}])
def test_a_block_without_ids_has_no_template(fields: dict[str, Any]) -> None:
    reads = [other("content_start", blockType="text", **fields), plain("a")]
    assert batches(*reads) == []
    fast, slow = both(reads)
    assert fast == slow
    assert texts(fast) == ["a"]


def test_ids_that_are_escaped_in_json_are_escaped_in_the_template() -> None:
    def named(frame: bytes) -> bytes:
        return frame.replace(b'"sessionId":"s"', b'"sessionId":"a\\"b\\\\{\xc3\xa9"')

    assert batches(named(START), named(plain("a"))) == [["a"]]


def test_what_the_slow_path_had_to_read_among_them_does_not_end_it() -> None:
    half = plain("\\ud83c")
    assert batches(START + FIRST, half, plain("a") + plain("b"), plain("c")) == [["First."], ["a", "b"], ["c"]]


@pytest.mark.parametrize("at", [0, 1, 49], ids=["first", "second", "last"])
def test_a_read_with_a_text_for_the_slow_path_is_decoded_once(at: int) -> None:
    """To try the frames together again after each that was decoded would take the square of their number."""
    frames = [plain("a")] * 49
    frames.insert(at, plain("\\ud83c"))
    read = b"".join(frames)
    assert batches(START, read, plain("b")) == [["b"]]
    fast, slow = both([START, read, plain("b")])
    assert fast == slow


@pytest.mark.parametrize(
    "path",
    [path for path in STREAMS if path.name.partition(".")[0] in ("text", "max_tokens", "usage", "multi_tick", "spawn")],
    ids=lambda path: path.stem,
)
def test_in_a_real_run_all_texts_go_the_fast_way(path: Path) -> None:
    """With any frames between them: blocks, sub-agents, ticks."""
    reads = [frame + b"\n\n" for frame in path.read_bytes().split(b"\n\n")]
    fast, slow = both(reads)
    assert fast == slow
    assert [text for batch in batches(*reads) for text in batch] == texts(slow) != []


def test_json_is_not_decoded_frame_by_frame(monkeypatch: pytest.MonkeyPatch) -> None:
    reader = EventReader(max_frame=MAX_FRAME)
    list(reader.feed(START + FIRST))
    calls: list[bytes] = []
    loads = orjson.loads

    def counting(data: bytes) -> Any:
        calls.append(data)
        return loads(data)

    monkeypatch.setattr("oaicompat_proxy.dialects.agentick.text_fast_path.orjson.loads", counting)
    assert list(reader.feed(plain("a") * 50)) == [TextDeltas("a" * 50, [b"a"] * 50)]
    assert calls == [b'"' + b"a" * 50 + b'"']
    calls.clear()
    assert list(reader.feed(plain("\\n") * 50)) == [TextDeltas("\n" * 50, [b"\\n"] * 50)]
    assert calls == [b'"' + b" ".join([b"\\n"] * 50) + b'"', b'"' + b"\\n" * 50 + b'"']


# By hand, sentence by sentence

INSTEAD = {
    "a child's, marked at the front": plain("No!", members=MEMBERS + '"spawnPath":["child"],'),
    "a child's, marked in the middle": plain("No!", middle=MIDDLE.replace('"delta"', '"spawnPath":["c"],"delta"')),
    "a child's, marked at the end": plain("No!", end=END[:-2] + ',"spawnPath":["child"]}}'),
    "a child's, spelled otherwise": plain("No!", members=MEMBERS + '"spawn\\u0050ath":["child"],'),
    "another kind of block": plain("No!", middle=MIDDLE.replace("text", "reasoning")),
    "another kind, by an escaped quote": plain("No!", members=MEMBERS + '"blockType":"reasoning","x\\'),
    "another kind, with a comment behind it": plain("No!", middle=MIDDLE.replace("text", "reasoning"))[:-1]
    + b":"
    + (MIDDLE + "No!" + END).encode()
    + b"\n\n",
    "a text that stands in a nested object": plain("No!", members=MEMBERS + '"raw":{', end='","x":1}}}'),
    "an object that looks like a text": plain(
        "No!", members=MEMBERS + '"blockType":"json","delta":"x","raw":{', end='","executionId":"e1"}}}'
    ),
}


@pytest.mark.parametrize("name", INSTEAD)
@pytest.mark.parametrize("neighbours", [b"", plain("a")])
def test_no_look_alike_is_taken_for_a_text(name: str, neighbours: bytes) -> None:
    """A look-alike alone, and one among real frames."""
    fast, slow = both([START + FIRST, neighbours + INSTEAD[name] + neighbours])
    assert fast == slow
    assert "No!" not in texts(fast)


@pytest.mark.parametrize("between", ["", FIRST.decode()])
def test_a_frame_over_several_lines_teaches_nothing_and_is_read(between: str) -> None:
    split = FIRST.replace(b',"delta', b'\ndata: ,"delta')
    forged = FIRST.replace(b',"delta', b'\n,"delta')
    assert batches(START + split + split, split) == []
    fast, slow = both([START + split + split, between.encode() + split, forged])
    assert fast == slow


def test_a_text_that_is_not_there_at_all_is_not_an_empty_one() -> None:
    """Where the middle and the end share a quote."""
    fast, slow = both([START + FIRST, plain("", middle=MIDDLE[:-1])])
    assert fast == slow
    assert fast[-1][0] is UpstreamError


@pytest.mark.parametrize("inside", ["", "\\n", "a\\\\", "\\\\\\\\", 'say \\"', '\\",\\"', "\\u2028", "{", "\x7f"])
def test_texts_that_may_go_the_fast_way_stay_what_they_are(inside: str) -> None:
    fast, slow = both([START + FIRST + plain(inside) + plain("a") + plain(inside), plain(inside)])
    assert fast == slow
    assert texts(fast)[1:] == [
        text for text in (json.loads(f'"{inside}"'), "a", *[json.loads(f'"{inside}"')] * 2) if text
    ]


@pytest.mark.parametrize("character", ["\u2028", "\u2029", "\x85"])
def test_line_ends_of_some_readers_never_go_out_raw(character: str) -> None:
    assert decode_together([b"a", character.encode(), b"b"]) is None
    reads = [START + FIRST, plain(f"a{character}b"), LAST_WORD]
    stream, body = answers(reads, PLAIN_OPTIONS)
    assert stream is not None
    assert check_stream(stream, include_usage=False).text == f"First.a{character}b" == check_body(body).text


def test_a_character_in_two_halves_is_joined_across_the_paths() -> None:
    reads = [START + FIRST, plain("a"), plain("\\ud83c"), plain("\\udf0a") + plain("b"), plain("c"), LAST_WORD]
    stream, body = answers(reads, PLAIN_OPTIONS)
    assert check_body(body).text == "First.a\U0001f30abc"
    assert stream is not None
    assert check_stream(stream, include_usage=False).text == "First.a\U0001f30abc"


def test_nothing_is_said_behind_the_end() -> None:
    """The text frames of another execution that slips in are not this run's."""
    ended = other("execution_end", executionId="e1")
    fast, slow = both([START + FIRST + plain("a"), ended + plain("b") + plain(""), plain("c"), LAST_WORD])
    assert fast == slow
    assert texts(fast) == ["First.", "a"]
    assert isinstance(fast[-1], RunEnded)


@pytest.mark.parametrize("count", [1, 2, 3])
def test_nothing_is_said_behind_the_end_that_stands_between_look_alikes(count: int) -> None:
    """Frames that are looked at once more, one by one, because the first of them only begins like a text."""
    alike = plain("No!", middle=MIDDLE.replace("text", "reasoning"))
    ended = other("execution_end", executionId="e1")
    fast, slow = both([START + FIRST + plain("a"), alike + ended + plain("b") * count, plain("c"), LAST_WORD])
    assert fast == slow
    assert texts(fast) == ["First.", "a"]


@pytest.mark.parametrize("inside", ["said", ""])
@pytest.mark.parametrize("apart", [False, True])
def test_a_copy_of_what_went_the_fast_way_is_not_needed(inside: str, apart: bool) -> None:
    """In a tick that began without `message_start`: text is as good a sign."""
    copy = other("message", **MESSAGE)
    frames = [plain(inside), plain(inside), copy] if apart else [plain(inside) * 2 + copy]
    fast, slow = both([START + FIRST + plain("a"), other("tick_start", tick=2), *frames])
    assert fast == slow
    assert not any(isinstance(event, MessageCompleted) for event in fast)


def test_the_run_is_known_by_its_texts_also_if_it_did_not_begin() -> None:
    """Which decides whether a long end is its own."""
    nameless = plain("First.", end='","x":"y"}}')
    named = plain("a", members=MEMBERS + '"executionId":"e1",', end='","x":"y"}}')
    end = other("execution_end", executionId="e1", error={"message": "boom"}, output="x" * 20_000)
    fast, slow = both([nameless + nameless, named + named, end])
    assert fast == slow
    assert isinstance(fast[-1], RunFailed)


# The parts


@examples(600)
@given(st.lists(WELL.map(str.encode) | BROKEN | st.binary(max_size=3), max_size=5))
@example([b'a",["b', b"x", b'c"],"d'])
@example([b'a",', b',"b'])
@example([b"a\\", b"b"])
@example([b'a","b', b""])
def test_texts_are_good_together_only_if_each_is_good_alone(encoded: list[bytes]) -> None:
    together = decode_together(encoded)
    alone = [decode_together([each]) for each in encoded]
    if together is None:
        assert not encoded or None in alone
    else:
        assert together.encoded == [each for each in encoded if each]
        assert "".join(texts_of(together)) == "".join(orjson.loads(b'"' + each + b'"') for each in encoded)


@examples(250)
@given(st.lists(PLAIN, min_size=1, max_size=3))
def test_a_template_gives_the_texts_of_frames_or_nothing(frames: list[bytes]) -> None:
    block = orjson.loads(BLOCK[6:])
    template = FrameTemplate(data_key_of(block), block["data"])
    deltas, count = template.match_lines([frame[:-1] for frame in frames], 0)
    alone = [(template.match(frame), [frame]) for frame in frames]
    for matched, read in [(deltas, frames[:count]), *alone]:
        if matched is not None:
            results = read_all(EventReader(max_frame=MAX_FRAME), for_slow_path([START, *read]))
            assert texts_of(matched) == texts(results)


def test_a_text_longer_than_a_read_comes_whole() -> None:
    long = "x" * 200_000
    for size in (1000, 65_536, 10**6):
        fast, slow = both([START + FIRST, *cut(plain(long) + plain("a"), [size])])
        assert fast == slow
        assert texts(fast) == ["First.", long, "a"]


def test_texts_are_matched_before_a_frame_that_ends_like_one() -> None:
    template = FrameTemplate(b',"sessionId":"s","data":', {"blockIndex": 0, "executionId": "e1"})
    begin = b'data: {"type":"event","event":"%b","sessionId":"s","data":{"type":"%b","id":"1",'
    text = begin % (b"content_delta", b"content_delta") + b'"blockType":"text","blockIndex":0,"delta":"%b"'
    end = b',"executionId":"e1"}}\n'
    message = begin % (b"message", b"message") + b'"message":{},"model":"m"' + end
    deltas, count = template.match_lines([b"data: {}\n", text % b"Hel" + end, text % b"lo" + end, message], 1)
    assert deltas is not None
    assert deltas.encoded == [b"Hel", b"lo"]
    assert count == 2
    assert template.match(message + b"\n") is None
