"""A string for a pattern, where that is a plain one: characters and classes one after another, each with a count. Pure.

No pattern of a client's is ever run: one that is made for it takes for ever.
"""

from __future__ import annotations

import re
from typing import NamedTuple

MOST_ATOMS = 200
MOST_COPIES = 1000

_ATOM = re.compile(
    r"(?P<atom>\[\^?\]?(?:\\.|[^\]\\]++)*+\]|\\.|[^\\()\[\]{}|*+?^$])"
    r"(?P<count>\{(?P<least>\d{1,6})(?P<more>,(?P<most>\d{0,6}))?\}|[+*?])?"
)
_CLASSES = {"d": "1", "w": "a", "s": " ", "D": "a", "W": "-", "S": "a"}
_LIKELY = "e1aE_-. /"
_RANGE = re.compile(r"(\\.|.)-(\\.|.)|(\\.|.)", re.DOTALL)


class _Part(NamedTuple):
    character: str
    least: int
    most: int


def example_of(pattern: str, least: int) -> str | None:
    """No shorter than `least`, as far as the pattern allows; None if the pattern is not a plain one."""
    text = pattern.removeprefix("^")
    is_whole = text.endswith("$") and not text.endswith(r"\$")
    text = text.removesuffix("$") if is_whole else text
    parts: list[_Part] = []
    at = 0
    while at < len(text):
        match = _ATOM.match(text, at)
        if match is None or len(parts) >= MOST_ATOMS:
            return None
        character = _character(match["atom"])
        if character is None:
            return None
        parts.append(_Part(character, *_counts(match)))
        at = match.end()
    said = _fill(parts, least)
    return said if is_whole else said + "e" * (least - len(said))


def _counts(match: re.Match[str]) -> tuple[int, int]:
    if match["least"]:
        least = int(match["least"])
        most = least if not match["more"] else int(match["most"] or MOST_COPIES)
        return min(least, MOST_COPIES), min(most, MOST_COPIES)
    return {"+": (1, MOST_COPIES), "*": (0, MOST_COPIES), "?": (0, 1)}.get(match["count"] or "", (1, 1))


def _fill(parts: list[_Part], least: int) -> str:
    """As short as it may be, then longer from the front until it is long enough."""
    lacking = least - sum(part.least for part in parts)
    pieces = []
    for part in parts:
        more = max(0, min(part.most - part.least, lacking))
        lacking -= more
        pieces.append(part.character * (part.least + more))
    return "".join(pieces)


def _character(atom: str) -> str | None:
    if atom == ".":
        return "e"
    if atom.startswith("\\"):
        return _CLASSES.get(atom[1]) or (atom[1] if not atom[1].isalnum() else None)
    if not atom.startswith("["):
        return atom
    inside, is_negated = atom[1:-1].removeprefix("^"), atom.startswith("[^")
    ranges = [_ends(match) for match in _RANGE.finditer(inside)]
    if not is_negated:
        return next((likely for likely in _LIKELY if _holds(ranges, likely)), ranges[0][0] if ranges else None)
    return next((likely for likely in _LIKELY if not _holds(ranges, likely)), None)


def _ends(match: re.Match[str]) -> tuple[str, str]:
    if match[3] is None:
        return match[1][-1], match[2][-1]
    if match[3].startswith("\\") and match[3][1] in "dw":
        return ("0", "9") if match[3][1] == "d" else ("a", "z")
    return match[3][-1], match[3][-1]


def _holds(ranges: list[tuple[str, str]], character: str) -> bool:
    return any(low <= character <= high for low, high in ranges)
