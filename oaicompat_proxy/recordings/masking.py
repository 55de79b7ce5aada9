"""Masks the texts of a recording, which can then be shown to others and still be replayed.

Every letter becomes `x` and every digit `1`, or another character of the same number of bytes. White space, punctuation
and escapes stay. So lengths and the structure of the JSON stay, too, and a text may be masked in pieces.

An allow-list (`recorded_fields`) names the values that stay readable: ids, names and counts at known places of known
events, if they look like ids, names and counts. Other keys are masked, too, and the keys of one object stay different.
An error message is shown without secrets (`core.redaction`), as clients see it.

The cost is linear in the length of a line: no pattern here backtracks.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from io import StringIO

from ..core.recorded_fields import Fields, Readable, RecordedFields, Rule
from ..core.redaction import redact

MAX_ID = 80
"""Characters of an id that is shown, at most. Longer ids are signed, so anyone who reads one could use it."""

SIGNED_IDS = ("confirm_", "mcpr_")
"""Prefixes of the signed ids of confirmation calls and of approval requests, which are masked at any length."""

_FIELD = re.compile(r"(?:event|id|retry):|data: ?|")
_TOKEN = re.compile(
    r'"(?P<text>[^"\\]*+(?:\\.[^"\\]*+)*+)(?P<end>"(?P<colon>\s*+:)?)?'
    r'|(?P<mark>[{}\[\],:])|(?P<bare>[^\s{}\[\],:"]++)',
    re.DOTALL,
)
_ESCAPE = re.compile(r"\\u(?P<code>[0-9a-fA-F]{4})|\\.", re.DOTALL)
_NUMBER = re.compile(r"-?[0-9]+(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?")
_DIGIT = re.compile("[0-9]")
_WORDS = frozenset({"true", "false", "null"})
_SHAPES: Mapping[Readable, re.Pattern[str]] = {
    Readable.ID: re.compile(rf"(?!{'|'.join(SIGNED_IDS)})[-\w.:/+=]{{1,{MAX_ID}}}", re.ASCII),
    Readable.NAME: re.compile(r"[-\w.:/@+]{1,128}", re.ASCII),
    Readable.PLACEHOLDER: re.compile(r"\[[-\w.]{1,128} rendered on client\]", re.ASCII),
    Readable.TIME: re.compile(r"\d{4}-\d\d-\d\dT[\d:.]{5,20}(?:Z|[-+]\d\d:?\d\d)?", re.ASCII),
}


class Masker:
    """Masks an event stream, or lines of JSON. `feed()` returns the masked lines that each read completes."""

    def __init__(self, fields: RecordedFields) -> None:
        self._fields = fields
        self._pieces: list[bytes] = []
        self.buffered = 0
        """Bytes of the incomplete line."""

    def feed(self, data: bytes) -> bytes:
        end = max(data.rfind(b"\n"), data.rfind(b"\r")) + 1
        masked = b"".join(map(self._mask_line, self._join(data[:end]).splitlines(keepends=True))) if end else b""
        if rest := data[end:]:
            self._pieces.append(rest)
            self.buffered += len(rest)
        return masked

    def finish(self) -> bytes:
        """Masks the last line, if it has no line end."""
        return self._mask_line(self._join(b""))

    def _join(self, end: bytes) -> bytes:
        """The buffered bytes followed by `end`; the buffer is empty afterwards."""
        data = b"".join((*self._pieces, end))
        self._pieces.clear()
        self.buffered = 0
        return data

    def _mask_line(self, line: bytes) -> bytes:
        text = line.decode("utf-8", "surrogateescape")
        end = text[len(text.rstrip("\r\n")) :]  # apart, for it would belong to a string that is not closed
        found = _FIELD.match(text)
        name = found[0] if found else ""
        value = text[len(name) : len(text) - len(end)]
        if value.strip() == "[DONE]" or (name == "event:" and self._is_event_name(value.strip())):
            return line
        is_json = name in ("data:", "data: ", "") and value.lstrip()[:1] in ("{", "[")
        masked = _mask_json(value, self._fields) if is_json else mask_text(value)
        return (name + masked + end).encode("utf-8", "surrogateescape")

    def _is_event_name(self, word: str) -> bool:
        return word == "message" or word in self._fields.events


def mask(data: bytes, fields: RecordedFields) -> bytes:
    """Masks all data at once."""
    masker = Masker(fields)
    return masker.feed(data) + masker.finish()


def event_name(data: bytes, fields: RecordedFields) -> str:
    """The event's name, from its data or from all its lines; empty if it has none."""
    for line in data.decode("utf-8", "surrogateescape").splitlines():
        name, _, value = line.partition(":") if _FIELD.match(line)[0] else ("", "", line)  # type: ignore[index]
        if name == "event":
            return value.strip()
        if value.lstrip().startswith("{"):
            return _find_name(value, fields)
    return ""


def mask_text(text: str) -> str:
    """Masks a text."""
    return text.translate(_MASKED)


def mask_name(name: str) -> str:
    """The name, if it looks like one; else masked."""
    return _mask_value(name, Readable.NAME)


def _mask_json(text: str, fields: RecordedFields) -> str:
    return _Json(fields.events.get(_find_name(text, fields), fields.unknown)).mask(text)


def _find_name(text: str, fields: RecordedFields) -> str:
    """The event's name; empty if there is none."""
    found: dict[tuple[str, ...], str] = {}
    wanted = fields.event_names
    for path, value in _texts(text, depth=max(map(len, wanted), default=0)):
        if path in wanted:
            found.setdefault(path, value)
            if path == wanted[0]:
                break
    return next((found[path] for path in wanted if path in found), "")


def _texts(text: str, *, depth: int) -> Iterator[tuple[tuple[str, ...], str]]:
    """The string values of objects, with the path of their keys, down to `depth` keys."""
    above: list[str] = []
    key = ""
    for token in _TOKEN.finditer(text) if depth else ():
        mark = token["mark"]
        if mark in ("{", "["):
            above.append(key)
            key = ""
        elif mark in ("}", "]"):
            key = above.pop() if above else ""
        elif token["colon"]:
            key = token["text"]
        elif token["end"] and len(above) <= depth:
            yield (*above[1:], key), token["text"]


@dataclass(slots=True)
class _Open:
    """An open bracket."""

    is_object: bool
    rule: Rule
    """The rule of the object's fields, or of each item of the array."""
    masked_keys: dict[str, int] = field(default_factory=dict)
    """Number of keys of the object by their masked text."""


class _Json:
    """Masks one JSON text token by token, so that malformed JSON stays malformed in the same way."""

    def __init__(self, fields: Fields) -> None:
        self._rule: Rule = fields
        """The rule of the next value."""
        self._above: list[_Open] = []

    def mask(self, text: str) -> str:
        return _TOKEN.sub(self._mask_token, text)

    def _mask_token(self, token: re.Match[str]) -> str:
        if token["mark"]:
            self._follow(token["mark"])
            return token[0]
        if token["bare"]:
            return _mask_bare(token["bare"], self._rule)
        is_key = token["colon"] and self._above and self._above[-1].is_object
        masked = self._mask_key(token["text"]) if is_key else _mask_value(token["text"], self._rule)
        return f'"{masked}{token["end"] or ""}'

    def _follow(self, mark: str) -> None:
        if mark in "{[":
            self._above.append(_Open(mark == "{", self._rule))
        elif mark in "}]" and self._above:
            self._above.pop()
        if mark != ":":
            is_item = self._above and not self._above[-1].is_object
            self._rule = self._above[-1].rule if is_item else None

    def _mask_key(self, key: str) -> str:
        place = self._above[-1]
        known = place.rule if isinstance(place.rule, Mapping) else {}
        self._rule = known.get(key)
        return key if key in known else _distinct(_mask_string(key), place.masked_keys, known)


def _distinct(masked: str, taken: dict[str, int], known: Fields) -> str:
    """The masked key, or a variant of the same length if the object has that key already."""
    count = taken.get(masked, 0)
    while (variant := _variant(masked, count)) in known:
        count += 1
    taken[masked] = count + 1
    return variant


_LETTERS = "xyzabcdefghijklmnopqrstuvwXYZABCDEFGHIJKLMNOPQRSTUVW"
_DIGITS = "1234567890"


def _variant(masked: str, number: int) -> str:
    """The `number`-th variant of a masked text; the first again if there are no more."""
    signs = list(masked)
    for place in range(len(signs) - 1, -1, -1):
        if not number:
            break
        pool = _LETTERS if signs[place] == "x" else _DIGITS if signs[place] == "1" else ""
        if pool and not (place and signs[place - 1] == "\\"):
            number, rest = divmod(number, len(pool))
            signs[place] = pool[rest]
    return masked if number else "".join(signs)


def _mask_bare(word: str, rule: Rule) -> str:
    """Masks a number or one of JSON's three literals; anything else is masked as a text without quotes."""
    if word in _WORDS:
        return word
    if not _NUMBER.fullmatch(word):
        return _mask_string(word)
    return word if rule in (Readable.NUMBER, Readable.TIME) and len(word) <= MAX_ID else _DIGIT.sub("1", word)


def _mask_value(text: str, rule: Rule) -> str:
    if isinstance(rule, Mapping):
        rule = rule.get("")
    if rule is Readable.FAILURE:
        return _mask_failure(text)
    return text if _is_readable(text, rule) else _mask_string(text)


def _is_readable(text: str, rule: Rule) -> bool:
    if isinstance(rule, frozenset):
        return text in rule
    shape = _SHAPES.get(rule) if isinstance(rule, Readable) else None
    return shape is not None and shape.fullmatch(text) is not None


def _mask_failure(text: str) -> str:
    try:
        words = json.loads(f'"{text}"', strict=False)
    except ValueError:
        return _mask_string(text)
    return json.dumps(redact(words))[1:-1]


def _mask_string(text: str) -> str:
    """Masks the inside of a JSON string. Escaped characters stay escaped."""
    if "\\" not in text:
        return text.translate(_MASKED)
    masked, place = StringIO(), 0  # a list with a piece for each escape would take twenty times the memory
    for escape in _ESCAPE.finditer(text):
        masked.write(text[place : escape.start()].translate(_MASKED))
        masked.write(_mask_escape(escape))
        place = escape.end()
    masked.write(text[place:].translate(_MASKED))
    return masked.getvalue()


def _mask_escape(escape: re.Match[str]) -> str:
    if not escape["code"]:
        return escape[0]
    code = int(escape["code"], 16)
    masked = _mask_half(code) if 0xD800 <= code <= 0xDFFF else chr(code).translate(_MASKED)
    return escape[0] if masked == chr(code) else f"\\u{ord(masked):04x}"


def _mask_half(code: int) -> str:
    """A surrogate becomes a surrogate of the same kind, so that a split text stays valid."""
    return chr(0xD83D if code < 0xDC00 else 0xDE00)


def _mask_character(character: str) -> str:
    code = ord(character)
    if code < 0x80:
        return "x" if character.isalpha() else "1" if character.isdigit() else character
    if character.isspace() or 0xDC80 <= code <= 0xDCFF:  # the second: a byte that is not UTF-8, by `surrogateescape`
        return character
    return "é" if code < 0x800 else "字" if code < 0x10000 else "😀"


class _MaskTable(dict[int, str]):
    """A table for `str.translate`: a replacement of the same UTF-8 length. Only ASCII is stored."""

    def __missing__(self, code: int) -> str:
        return _mask_character(chr(code))


_MASKED = _MaskTable({code: _mask_character(chr(code)) for code in range(0x80)})
