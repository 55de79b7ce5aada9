"""The fast path: frames that are nothing but a piece of text, moved on without decoding them one by one.

Deltas are most of a stream and differ from each other in four fields. A frame that was read in full teaches what
stands around them; a later frame of exactly that shape gives its text as a slice. What is learned and checked:

    data: {"type":"event","event":"content_delta","sessionId":"s","data":{"type":"content_delta",   the beginning
    "id":"evt_1","sequence":8,"tick":1,"timestamp":"…",              anything flat, so no key is nested or a comment's
    "blockType":"text","blockIndex":0,"delta":"                      the middle
    Hello                                                            the text, as JSON has it
    ","executionId":"e1"}}                                           the end

No quote inside a JSON string is without a backslash, so the middle and the end cannot stand in a text. That the
slice is the text, and no look-alike, is proved once for each shape (`learn`). The slices of a read are checked as
JSON together: bad UTF-8, control characters, half surrogates and broken escapes are left to the slow path, and so
are the characters that some clients take for line ends.

Runs of one gateway differ in the names of session and execution only, so the next run need not learn (`Shapes`).
"""

from __future__ import annotations

import re

import orjson

from ...core.events import TextDeltas

LONGEST_WAIT = 64 * 1024
"""Bytes of a frame's beginning that are held for the fast path; deltas are a few hundred."""

_NAME = b'"data":{"type":"content_delta",'
_DELTA = b',"delta":"'
_KEY = b'"delta"'
_BLOCK = b'"blockType":"text"'
_SPAWN = b"spawnPath"
_BRACE, _CLOSING, _BACKSLASH, _LF, _CR = b"{}\\\n\r"
"""As numbers: to look for one of these in bytes is much faster than for bytes."""
_LINE_BREAKS = (b"\xe2\x80\xa8", b"\xe2\x80\xa9", b"\xc2\x85")


class TextShape:
    """The shape of one run's plain text frames."""

    __slots__ = (
        "_frame_end",
        "_head",
        "_line_end",
        "_tail",
        "_to_text",
        "beginning",
        "end",
        "middle",
    )

    def __init__(self, beginning: bytes, middle: bytes, end: bytes) -> None:
        self.beginning = beginning
        self.middle = middle
        self.end = end
        self._line_end = end + b"\n"
        self._frame_end = end + b"\n\n"
        self._head = len(beginning)
        self._to_text = len(middle)
        self._tail = len(self._frame_end)

    def cut_one(self, data: bytes) -> TextDeltas | None:
        """The text of a read that is one such frame and nothing else, as most are; None for any other."""
        if not (data.endswith(self._frame_end) and data.startswith(self.beginning)):
            return None
        at = data.find(self.middle, self._head)
        encoded = data[at + self._to_text : -self._tail]
        if at < 0 or not encoded or _LF in encoded or not _are_flat(data[self._head : at]):
            return None
        if not encoded.isascii() and _breaks_lines(encoded):
            return None
        try:
            return TextDeltas(orjson.loads(b'"%b"' % encoded), [encoded])
        except orjson.JSONDecodeError:
            return None

    def cut_all(self, lines: list[bytes], at: int) -> tuple[TextDeltas | None, int]:
        """The texts of the frames of this shape that follow each other from this place on, and where others begin.

        None in place of the texts if something among them needs a closer look: then look at each.
        """
        beginning, middle, end = self.beginning, self.middle, self._line_end
        texts: list[bytes] = []
        members: list[bytes] = []
        for place in range(at, len(lines)):
            line = lines[place]
            own = line.removeprefix(beginning)
            varying, _, rest = own.partition(middle)
            text = rest.removesuffix(end)
            if len(own) == len(line) or len(text) == len(rest):
                break
            texts.append(text)
            members.append(varying)
        at += len(texts)
        if not texts or not _are_flat(b"".join(members)):
            return None, at
        return check([text for text in texts if text] if b"" in texts else texts), at

    def may_become(self, beginning: bytes) -> bool:
        """Whether this may be the beginning of such a frame, and is not too long to wait for the rest."""
        known = self.beginning[: len(beginning)]
        return len(beginning) <= LONGEST_WAIT and beginning.startswith(known)


class Shapes:
    """What text frames looked like in the run before, so that the next run need not learn it again.

    What is told by it is no more than a guess: a frame that looks otherwise is read in full.
    """

    __slots__ = ("_parts",)

    def __init__(self) -> None:
        self._parts: tuple[bytes, bytes, bytes, bytes, bytes] | None = None
        """What stands before and behind the session's name, the middle, and before and behind the execution's."""

    def note(self, shape: TextShape, session: str, execution: str) -> None:
        """That of a run with these names, as JSON has them if nothing in them has to be escaped."""
        around_session = _around(session, b"sessionId", shape.beginning)
        around_execution = _around(execution, b"executionId", shape.end)
        if around_session and around_execution:
            self._parts = (*around_session, shape.middle, *around_execution)

    def recall(self, session: str, execution: str) -> TextShape | None:
        """The shape of another run's text.

        What `learn` has proved holds for it too, since these names are plain: no quote, backslash or brace.
        """
        if self._parts is None or not _PLAIN_NAMES.fullmatch(session + execution):
            return None
        before, behind, middle, start, rest = self._parts
        return TextShape(before + session.encode() + behind, middle, start + execution.encode() + rest)


_PLAIN_NAMES = re.compile(r"[A-Za-z0-9:._-]+")


def _around(name: str, key: bytes, members: bytes) -> tuple[bytes, bytes] | None:
    """What stands before and behind this name among them; None if it is not there."""
    opening = b'"%b":"' % key
    before, found, behind = members.partition(opening + name.encode("utf-8", "replace") + b'"')
    return (before + opening, b'"' + behind) if found else None


def learn(data: bytes, text: str) -> TextShape | None:
    """The shape of a frame that was read in full, or None if it is not simple enough.

    `data`: the frame's payload. `text`: what was found at `data.delta` in it.

    Why the slice is that text and no look-alike: without a backslash around it each quote begins or ends a string,
    so what reads like a key is one. No other brace opens in front of it and none closes, so `data` is the envelope's
    and `delta` is `data`'s; and behind it no second one can stand.
    """
    name, delta = data.find(_NAME), data.rfind(_DELTA)
    block = data.rfind(_BLOCK, name, delta)
    start = delta + len(_DELTA)
    after = data.find(b'",', start)
    if name < 0 or block < 0 or after < 0 or _LF in data:
        return None
    members, encoded, end = name + len(_NAME), data[start:after], data[after:]
    if not _are_flat(data[1:name] + data[members:start] + end):
        return None
    if _CLOSING in data[members:start] or end.find(_KEY) >= 0 or _text_of(encoded) != text:
        return None
    return TextShape(b"data: " + data[:members], data[block:start], end)


def _text_of(encoded: bytes) -> object:
    """The text with this inside of a JSON string; None if it is no such inside."""
    try:
        return orjson.loads(b'"%b"' % encoded)
    except orjson.JSONDecodeError:
        return None


def _are_flat(members: bytes) -> bool:
    """Whether these are members of one object, as far as they are JSON at all, and none makes it a child's."""
    return not (
        _BRACE in members or _BACKSLASH in members or _LF in members or _CR in members or members.find(_SPAWN) >= 0
    )


def _breaks_lines(encoded: bytes) -> bool:
    """Whether there are characters in it that some clients take for line ends; not for what is ASCII."""
    return any(encoded.find(line_break) >= 0 for line_break in _LINE_BREAKS)


def check(encoded: list[bytes]) -> TextDeltas | None:
    """The deltas with these texts, or None if one of them may not be sent on as it is."""
    apart = b" ".join(encoded)  # what is cut through, as an escape or a character, is not mended by its neighbour
    if not apart.isascii() and _breaks_lines(apart):
        return None
    try:
        orjson.loads(b'"%b"' % apart)
        return TextDeltas(orjson.loads(b'"%b"' % b"".join(encoded)), encoded)
    except orjson.JSONDecodeError:
        return None
