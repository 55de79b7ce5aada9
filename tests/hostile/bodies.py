"""Request bodies that are as expensive as they may be: each is all of one kind, up to a given size or to its bound."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

MEBIBYTE = 1024 * 1024


def chat(messages: bytes = b'[{"role":"user","content":"Hi"}]', more: bytes = b"") -> bytes:
    return b'{"model":"default","messages":' + messages + more + b"}"


def user(content: bytes) -> bytes:
    return chat(b'[{"role":"user","content":"' + content + b'"}]')


def parts(items: Iterable[bytes]) -> bytes:
    return chat(b'[{"role":"user","content":[' + b",".join(items) + b"]}]")


def before(content: bytes, role: bytes = b"user") -> bytes:
    """In a message that is not the last: a part of the transcript."""
    earlier = b'{"role":"' + role + b'","content":"' + content + b'"}'
    return chat(b"[" + earlier + b',{"role":"user","content":"Hi"}]')


def picture(data: bytes) -> bytes:
    return b'{"type":"image_url","image_url":{"url":"data:image/png;base64,' + data + b'"}}'


def numbered(item: bytes, count: int) -> Iterator[bytes]:
    return (item.replace(b"#", b"%d" % number) for number in range(count))


def some(item: bytes, count: int) -> bytes:
    return b",".join([item] * count)


def unknown(value: bytes) -> bytes:
    return chat(more=b',"x":' + value)


ROUND = (
    b'{"role":"assistant","content":"a","tool_calls":[{"id":"#","type":"function",'
    b'"function":{"name":"f","arguments":"{\\"a\\": 1}"}}]},{"role":"tool","tool_call_id":"#","content":"b"}'
)
TOOL = b'{"type":"function","function":{"name":"f#","parameters":{"type":"object","properties":{"a":{}}}}}'

VALUES: dict[str, Callable[[int], bytes]] = {
    "empty arrays": lambda count: unknown(b"[" + some(b"[]", count // 2) + b"]"),
    "empty objects": lambda count: unknown(b"[" + some(b"{}", count // 2) + b"]"),
    "nested arrays": lambda count: unknown(b"[" + some(b"[" * 100 + b"]" * 100, count // 101) + b"]"),
    "numbers": lambda count: unknown(b"[" + some(b"1", count) + b"]"),
    "decimals": lambda count: unknown(b"[" + some(b"1.234567890123e300", count) + b"]"),
    "large integers": lambda count: unknown(b"[" + some(b"9223372036854775807", count) + b"]"),
    "strings": lambda count: unknown(b"[" + some(b'"ab"', count) + b"]"),
    "keys": lambda count: unknown(b"{" + b",".join(numbered(b'"#":0', count // 2)) + b"}"),
    "top keys": lambda count: chat(more=b"," + b",".join(numbered(b'"#":0', count // 2))),
    "objects": lambda count: unknown(b"[" + some(b'{"a":1}', count // 3) + b"]"),
    "half characters and arrays": lambda count: unknown(b'["\\ud800",' + some(b"[]", count // 2) + b"]"),
    "schema": lambda count: chat(
        more=b',"response_format":{"type":"json_schema","json_schema":{"name":"a","schema":{'
        + b",".join(numbered(b'"#":{}', count // 3))
        + b"}}}"
    ),
}
"""By how many values and keys they hold, about."""

COUNTS: dict[str, Callable[[int, int, int], bytes]] = {
    "messages": lambda most, _, __: chat(b"[" + some(b'{"role":"user","content":"a"}', most) + b"]"),
    "answers": lambda most, _, __: chat(
        b"[" + some(b'{"role":"assistant","content":"a b"}', most - 1) + b',{"role":"user","content":"a"}]'
    ),
    "parts": lambda _, most, __: parts([b'{"type":"text","text":"a"}'] * most),
    "pictures": lambda _, most, __: parts([picture(b"QUJD")] * most),
    "rounds of calls": lambda most, _, __: chat(
        b'[{"role":"user","content":"a"},' + b",".join(numbered(ROUND, most // 2 - 1)) + b"]"
    ),
    "tools": lambda _, __, most: chat(more=b',"tools":[' + b",".join(numbered(TOOL, most)) + b"]"),
}
"""By the most messages, parts and tools."""

TEXTS: dict[str, Callable[[int], bytes]] = {
    "one text": lambda size: user(b"a" * size),
    "escapes": lambda size: user(b"\\n" * (size // 2)),
    "numbered escapes": lambda size: user(b"\\u0001" * (size // 6)),
    "half characters": lambda size: user(b"\\ud800 " * min(size // 7, 199_000) + b"a" * max(0, size - 7 * 199_000)),
    "two bytes each": lambda size: user("é".encode() * (size // 2)),
    "three bytes each": lambda size: user("語".encode() * (size // 3)),
    "four bytes each": lambda size: user("😀".encode() * (size // 4)),
    "backslashes": lambda size: user(b"\\\\" * (size // 2)),
    "quotes": lambda size: user(b'\\"' * (size // 2)),
    "what looks like values": lambda size: user(b",[{:" * (size // 4)),
    "lines in the transcript": lambda size: before(b"\\n" * (size // 2)),
    "odd lines in the transcript": lambda size: before("\u2028é".encode() * (size // 5)),
    "words in an answer": lambda size: before(b"ab " * (size // 3), b"assistant"),
    "wide words in an answer": lambda size: before("ёё ".encode() * (size // 5), b"assistant"),
    "narration": lambda size: before("⟦tool⟧ a\\n".encode() * (size // 14), b"assistant"),
    "arguments": lambda size: chat(
        b'[{"role":"user","content":""},{"role":"assistant","content":null,"tool_calls":[{"id":"a","type":"function",'
        b'"function":{"name":"f","arguments":"[' + some(b"[]", size // 3) + b']"}}]},'
        b'{"role":"tool","tool_call_id":"a","content":"x"},{"role":"assistant","content":"a"},'
        b'{"role":"user","content":"x"}]'
    ),
    "white space": lambda size: chat(more=b" " * size),
}
"""By their size."""

MEDIA: dict[str, Callable[[int], bytes]] = {
    "one picture": lambda size: parts([picture(b"A" * (size // 4 * 4))]),
    "white space in a picture": lambda size: parts([picture(b"AAAA \\n" * (size // 7))]),
    "a percent-encoded picture": lambda size: parts(
        [
            b'{"type":"image_url","image_url":{"url":"data:image/png,'
            + b"%41" * 50_000
            + b"a" * (size - 150_000)
            + b'"}}'
        ]
    ),
}
"""By their size."""
