"""Masks the texts of a recording, which can then be shown to others and still be replayed.

The characters of a text are masked (`masked_text`), while its length and the structure of the JSON stay.

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

from ..core.recorded_fields import Fields, Readable, RecordedFields, Rule
from ..core.redaction import redact
from .masked_text import mask_string, mask_text, variant_of

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
_NUMBER = re.compile(r"-?[0-9]+(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?")
_DIGIT = re.compile("[0-9]")
_WORDS = frozenset({"true", "false", "null"})
_SHAPES: Mapping[Readable, re.Pattern[str]] = {
    Readable.ID: re.compile(rf"(?!{'|'.join(SIGNED_IDS)})[-\w.:/+=]{{1,{MAX_ID}}}", re.ASCII),
    Readable.NAME: re.compile(r"[-\w.:/@+]{1,128}", re.ASCII),
    Readable.PLACEHOLDER: re.compile(r"\[[-\w.]{1,128} rendered on client\]", re.ASCII),
    Readable.TIME: re.compile(r"\d{4}-\d\d-\d\dT[\d:.]{5,20}(?:Z|[-+]\d\d:?\d\d)?", re.ASCII),
}
_OUTPUT = re.compile(r"Final result processed\.\Z|Returning structured response: ")


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
        return key if key in known else _distinct(mask_string(key), place.masked_keys, known)


def _distinct(masked: str, taken: dict[str, int], known: Fields) -> str:
    """The masked key, or a variant of the same length if the object has that key already."""
    count = taken.get(masked, 0)
    while (variant := variant_of(masked, count)) in known:
        count += 1
    taken[masked] = count + 1
    return variant


def _mask_bare(word: str, rule: Rule) -> str:
    """Masks a number or one of JSON's three literals; anything else is masked as a text without quotes."""
    if word in _WORDS:
        return word
    if not _NUMBER.fullmatch(word):
        return mask_string(word)
    return word if rule in (Readable.NUMBER, Readable.TIME) and len(word) <= MAX_ID else _DIGIT.sub("1", word)


def _mask_value(text: str, rule: Rule) -> str:
    if isinstance(rule, Mapping):
        rule = rule.get("")
    if rule is Readable.FAILURE:
        return _mask_failure(text)
    if rule is Readable.OUTPUT and (words := _OUTPUT.match(text)):
        return words[0] + mask_string(text[words.end() :])
    return text if _is_readable(text, rule) else mask_string(text)


def _is_readable(text: str, rule: Rule) -> bool:
    if isinstance(rule, frozenset):
        return text in rule
    shape = _SHAPES.get(rule) if isinstance(rule, Readable) else None
    return shape is not None and shape.fullmatch(text) is not None


def _mask_failure(text: str) -> str:
    try:
        words = json.loads(f'"{text}"', strict=False)
    except ValueError:
        return mask_string(text)
    return json.dumps(redact(words))[1:-1]
