"""Masks the characters of a text.

Every letter becomes `x` and every digit `1`, or another character of the same number of bytes. White space, punctuation
and escapes stay. So the length stays, too, and a text may be masked in pieces.
"""

from __future__ import annotations

import re
from io import StringIO

_ESCAPE = re.compile(r"\\u(?P<code>[0-9a-fA-F]{4})|\\.", re.DOTALL)
_LETTERS = "xyzabcdefghijklmnopqrstuvwXYZABCDEFGHIJKLMNOPQRSTUVW"
_DIGITS = "1234567890"


def mask_text(text: str) -> str:
    """Masks a text outside of JSON, where nothing is escaped."""
    return text.translate(_MASKED)


def mask_string(text: str) -> str:
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


def variant_of(masked: str, number: int) -> str:
    """The `number`-th variant of a masked text; the first again if there are no more."""
    characters = list(masked)
    for place in range(len(characters) - 1, -1, -1):
        if not number:
            break
        pool = _LETTERS if characters[place] == "x" else _DIGITS if characters[place] == "1" else ""
        if pool and not (place and characters[place - 1] == "\\"):
            number, rest = divmod(number, len(pool))
            characters[place] = pool[rest]
    return masked if number else "".join(characters)


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
