"""What people said, made unreadable in a recording, so that it can be shown to others and still replays.

Every letter becomes `x` and every digit `1`, or another sign of as many bytes; white space, punctuation, escapes,
keys and the names and ids of things stay. So lengths, cuts and the shape of the JSON stay too, and masking a text
in pieces is masking it whole. What failed is told as a client is told it: without secrets (`failures.redact`).
"""

from __future__ import annotations

import json
import re
from typing import NamedTuple

from .failures import redact

KEPT = frozenset(
    {
        *("type", "event", "kind", "role", "name", "model", "object", "status", "code", "param", "service_tier"),
        *("id", "sessionId", "executionId", "messageId", "callId", "spawnId", "toolUseId", "toolCallId"),
        *("blockType", "mimeType", "stopReason", "finish_reason", "componentName"),
        *("timestamp", "startedAt", "completedAt"),
    }
)
"""Keys whose text stays: what things are, and which."""

FREE = frozenset({"input", "output", "metadata", "arguments", "args", "params", "props", "state", "json"})
"""Keys below which people and tools choose the keys, so that none of them says what its value is."""

KEPT_NUMBERS = frozenset(
    {
        *("tick", "sequence", "index", "blockIndex", "created", "timestamp"),
        *("startIndex", "endIndex", "start_index", "end_index"),
    }
)

FAILURES = ((), ("data",), ("error",), ("data", "error"))
"""Below which keys an `error`, or the `message` of one, says why a run failed."""

LONGEST_ID = 80
"""Characters of an id that stays: a longer one is signed, and would let its reader act."""

_LINE = re.compile(rb"[^\r\n]*(?:\r\n|\r|\n)")
_TOKEN = re.compile(r'"(?P<text>(?:[^"\\]|\\.)*)"(?P<colon>\s*:)?|(?P<mark>[{}\[\],:])|(?P<bare>[^\s{}\[\],:"]+)')
_ESCAPE = re.compile(r"\\u(?P<code>[0-9a-fA-F]{4})|\\.", re.DOTALL)
_FIELD = re.compile(r"(?:event|id|retry):|data: ?|")
_WORDS = frozenset({"true", "false", "null"})


class Masker:
    """Masks an event stream, or lines of JSON: `feed()` bytes as they come, take those of the lines that are whole."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self.held = 0
        """Bytes that wait for the end of their line."""

    def feed(self, data: bytes) -> bytes:
        end = max(data.rfind(b"\n"), data.rfind(b"\r")) + 1
        masked = b"".join(map(_mask_line, _LINE.findall(self._take(data[:end])))) if end else b""
        if rest := data[end:]:
            self._pieces.append(rest)
            self.held += len(rest)
        return masked

    def finish(self) -> bytes:
        """The last line, if it has no end."""
        return _mask_line(self._take(b""))

    def _take(self, end: bytes) -> bytes:
        """What is held, with its end."""
        data = b"".join((*self._pieces, end))
        self._pieces.clear()
        self.held = 0
        return data


def mask(data: bytes) -> bytes:
    """All of it at once."""
    masker = Masker()
    return masker.feed(data) + masker.finish()


def mask_text(text: str) -> str:
    """A text of a person's, as it is."""
    return text.translate(_SIGNS)


def _mask_string(text: str) -> str:
    """A text of a person's, as the inside of a JSON string: what is escaped stays escaped."""
    if "\\" not in text:
        return text.translate(_SIGNS)
    masked, place = [], 0
    for escape in _ESCAPE.finditer(text):
        masked += [text[place : escape.start()].translate(_SIGNS), _mask_escape(escape)]
        place = escape.end()
    return "".join((*masked, text[place:].translate(_SIGNS)))


def _mask_line(line: bytes) -> bytes:
    text = line.decode("utf-8", "surrogateescape")
    field = _FIELD.match(text)
    name = field[0] if field else ""
    value = text[len(name) :]
    if name in ("event:", "id:", "retry:") or value.strip() == "[DONE]":
        return line
    masked = _Json().mask(value) if value.lstrip()[:1] in ("{", "[") else mask_text(value)
    return (name + masked).encode("utf-8", "surrogateescape")


class _Open(NamedTuple):
    """A bracket that is open."""

    mark: str
    key: str
    """Under which it stands."""
    is_free: bool
    """What is in it is under keys that somebody chose."""


class _Json:
    """Masks one JSON text, token by token, so that not even what is wrong with it changes."""

    def __init__(self) -> None:
        self._key = ""
        self._above: list[_Open] = []

    def mask(self, text: str) -> str:
        return _TOKEN.sub(self._mask_token, text)

    def _mask_token(self, token: re.Match[str]) -> str:
        if token["mark"]:
            self._follow(token["mark"])
            return token[0]
        if token["bare"]:
            return token[0] if token["bare"] in _WORDS or self._keeps_number() else _mask_string(token[0])
        if token["colon"] and self._is_object:
            self._key = token["text"]
            return token[0]
        return f'"{self._mask_value(token["text"])}"{token["colon"] or ""}'

    def _follow(self, mark: str) -> None:
        if mark in "{[":
            is_nested = len(self._above) > 1 and self._key == "data"  # the first is the event's own
            is_free = self._is_free or is_nested or self._key in FREE
            self._above.append(_Open(mark, self._key, is_free))
            self._key = self._key if mark == "[" else ""
        elif mark in "}]" and self._above:
            self._key = self._above.pop().key

    @property
    def _is_object(self) -> bool:
        return bool(self._above) and self._above[-1].mark == "{"

    @property
    def _is_free(self) -> bool:
        return bool(self._above) and self._above[-1].is_free

    def _keeps_number(self) -> bool:
        return self._key in KEPT_NUMBERS or self._key.lower().endswith("tokens")

    def _mask_value(self, text: str) -> str:
        if self._key in ("error", "message") and self._tells_failure():
            return _tell_failure(text)
        if self._is_object and not self._is_free and self._key in KEPT and len(text) <= LONGEST_ID:
            return text
        return _mask_string(text)

    def _tells_failure(self) -> bool:
        above = tuple(each.key for each in self._above[1:4])
        return above in FAILURES and (self._key == "error") == (above[-1:] != ("error",))


def _tell_failure(text: str) -> str:
    try:
        words = json.loads(f'"{text}"', strict=False)
    except ValueError:
        return _mask_string(text)
    return json.dumps(redact(words))[1:-1]


def _mask_escape(escape: re.Match[str]) -> str:
    if not escape["code"]:
        return escape[0]
    code = int(escape["code"], 16)
    masked = _mask_half(code) if 0xD800 <= code <= 0xDFFF else chr(code).translate(_SIGNS)
    return escape[0] if masked == chr(code) else f"\\u{ord(masked):04x}"


def _mask_half(code: int) -> str:
    """Halves of a character become halves of one, wherever a text is cut."""
    return chr(0xD83D if code < 0xDC00 else 0xDE00)


def _mask_sign(sign: str) -> str:
    code = ord(sign)
    if code < 0x80:
        return "x" if sign.isalpha() else "1" if sign.isdigit() else sign
    if sign.isspace() or 0xDC80 <= code <= 0xDCFF:  # the second: a byte that is no UTF-8, as Python holds it
        return sign
    return "é" if code < 0x800 else "字" if code < 0x10000 else "😀"


class _Signs(dict[int, str]):
    """For `str.translate`: each code's sign of as many bytes in UTF-8. Only ASCII is held: the rest has a million."""

    def __missing__(self, code: int) -> str:
        return _mask_sign(chr(code))


_SIGNS = _Signs({code: _mask_sign(chr(code)) for code in range(0x80)})
