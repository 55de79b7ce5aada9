"""Generates a string for a simple regular expression: characters and classes in sequence, each with a count. Pure.

The client's pattern is never executed, because a hostile one can take exponential time.
"""

from __future__ import annotations

import re
from typing import NamedTuple

MAX_ATOMS = 200
MAX_REPEATS = 1000

_ATOM = re.compile(
    r"(?P<atom>\[\^?\]?(?:\\.|[^\]\\]++)*+\]|\\.|[^\\()\[\]{}|*+?^$])"
    r"(?P<count>\{(?P<least>\d{1,6})(?P<more>,(?P<most>\d{0,6}))?\}|[+*?])?"
)
_CLASSES = {"d": "1", "w": "a", "s": " ", "D": "a", "W": "-", "S": "a"}
_CANDIDATES = "e1aE_-. /"
_RANGE = re.compile(r"(\\.|.)-(\\.|.)|(\\.|.)", re.DOTALL)


class _Part(NamedTuple):
    character: str
    least: int
    most: int


def matching_string(pattern: str, least: int) -> str | None:
    """At least `least` characters, if the pattern allows it. None if the pattern is not a simple one."""
    source = pattern.removeprefix("^")
    is_anchored = source.endswith("$") and not source.endswith(r"\$")
    source = source.removesuffix("$") if is_anchored else source
    parts: list[_Part] = []
    at = 0
    while at < len(source):
        match = _ATOM.match(source, at)
        if match is None or len(parts) >= MAX_ATOMS:
            return None
        character = _character(match["atom"])
        if character is None:
            return None
        parts.append(_Part(character, *_counts(match)))
        at = match.end()
    text = _fill(parts, least)
    return text if is_anchored else text + "e" * (least - len(text))


def _counts(match: re.Match[str]) -> tuple[int, int]:
    if match["least"]:
        least = int(match["least"])
        most = least if not match["more"] else int(match["most"] or MAX_REPEATS)
        return min(least, MAX_REPEATS), min(most, MAX_REPEATS)
    return {"+": (1, MAX_REPEATS), "*": (0, MAX_REPEATS), "?": (0, 1)}.get(match["count"] or "", (1, 1))


def _fill(parts: list[_Part], least: int) -> str:
    """The shortest match, lengthened part by part from the front until it has `least` characters."""
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
        return next((likely for likely in _CANDIDATES if _contains(ranges, likely)), ranges[0][0] if ranges else None)
    return next((likely for likely in _CANDIDATES if not _contains(ranges, likely)), None)


def _ends(match: re.Match[str]) -> tuple[str, str]:
    if match[3] is None:
        return match[1][-1], match[2][-1]
    if match[3].startswith("\\") and match[3][1] in "dw":
        return ("0", "9") if match[3][1] == "d" else ("a", "z")
    return match[3][-1], match[3][-1]


def _contains(ranges: list[tuple[str, str]], character: str) -> bool:
    return any(low <= character <= high for low, high in ranges)
