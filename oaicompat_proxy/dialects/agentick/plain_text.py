"""The fast path: frames that are nothing but a piece of text, moved on without decoding them one by one.

Deltas are most of a stream and differ from each other in four fields. A frame that was read in full teaches what
stands around them; a later frame of exactly that shape gives its text as a slice. What is learned and checked:

    data: {"type":"event","event":"content_delta","sessionId":"s","data":{"type":"content_delta",   the beginning
    "id":"evt_1","sequence":8,"tick":1,"timestamp":"…",              anything flat, so no key is nested or a comment's
    "blockType":"text","blockIndex":0,"delta":"                      the middle
    Hello                                                            the text, as JSON has it
    ","executionId":"e1"}}                                           the end

No quote inside a JSON string is without a backslash, so the middle and the end cannot stand in a text. That the
slice is the text, and no look-alike, is tried once for each shape, with another text in its place. The slices of a
read are checked as JSON together: bad UTF-8, control characters, half surrogates and broken escapes are
left to the slow path, and so are the characters that some clients take for line ends.
"""

from __future__ import annotations

import orjson

from ...events import TextDeltas

LONGEST_WAIT = 64 * 1024
"""Bytes of a frame's beginning that are held for the fast path; deltas are a few hundred."""

_NAME = b'"data":{"type":"content_delta",'
_DELTA = b',"delta":"'
_LINE_BREAKS = (b"\xe2\x80\xa8", b"\xe2\x80\xa9", b"\xc2\x85")


class TextShape:
    """The shape of one run's plain text frames."""

    def __init__(self, beginning: bytes, middle: bytes, end: bytes) -> None:
        self._beginning = beginning
        self._middle = middle
        self._end = end
        self._frame_end = end + b"\n\n"
        self._head = len(beginning)
        self._between = self._frame_end + beginning

    def cut_one(self, data: bytes) -> TextDeltas | None:
        """The text of a read that is one such frame and nothing else, as most are; None for any other."""
        if not (data.endswith(self._frame_end) and data.startswith(self._beginning)):
            return None
        start = data.find(self._middle, self._head)
        if start < 0 or not _are_flat(data[self._head : start]):
            return None
        encoded = data[start + len(self._middle) : -len(self._frame_end)]
        if not encoded or b"\n" in encoded or _breaks_lines(encoded):
            return None
        try:
            text = orjson.loads(b'"' + encoded + b'"')
        except orjson.JSONDecodeError:
            return None
        return TextDeltas([text], [encoded])

    def cut_all(self, data: bytes) -> tuple[TextDeltas, int] | None:
        """The texts of the frames that `data` begins with, and where the last of them ends.

        None if there is none, or something among them that needs a closer look: then look at each.
        """
        if not data.startswith(self._beginning):
            return None
        *frames, last = data[self._head :].split(self._between)
        whole, ended, rest = last.partition(self._frame_end)
        if ended:
            frames.append(whole)
        elif not frames:
            return None
        heads, middles, texts = zip(*[frame.rpartition(self._middle) for frame in frames], strict=True)
        members = b"".join(heads)
        if b"" in middles or b"" in texts or self._middle in members or not _are_flat(members):
            return None
        deltas = check(list(texts))  # refuses the line ends that another frame between them would bring
        if deltas is None:
            return None
        return deltas, len(data) - len(rest if ended else self._beginning + last)

    def cut(self, frame: bytes) -> bytes | None:
        """The text of a frame of this shape, as the inside of a JSON string; None for any other frame."""
        if not (frame.endswith(self._end) and frame.startswith(self._beginning)):
            return None
        start = frame.find(self._middle, len(self._beginning))
        if start < 0 or not _are_flat(frame[len(self._beginning) : start]):
            return None
        start += len(self._middle)
        return frame[start : -len(self._end)] if start + len(self._end) <= len(frame) else None

    def may_become(self, beginning: bytes) -> bool:
        """Whether this may be the beginning of such a frame, and is not too long to wait for the rest."""
        known = self._beginning[: len(beginning)]
        return len(beginning) <= LONGEST_WAIT and beginning.startswith(known)


def learn(data: bytes, text: str) -> TextShape | None:
    """The shape of a frame that was read in full, or None if it is not simple enough.

    `data`: the frame's payload. `text`: the text that was found in it.
    """
    name, delta = data.find(_NAME), data.rfind(_DELTA)
    block = data.rfind(b'"blockType":"text"', name, delta)
    if name < 0 or block < 0 or b"\n" in data:
        return None
    after = data.find(b'",', delta + len(_DELTA))
    if after < 0 or b"{" in data[after:] or b"spawnPath" in data[after:]:
        return None
    shape = TextShape(b"data: " + data[: name + len(_NAME)], data[block : delta + len(_DELTA)], data[after:])
    cut = shape.cut(b"data: " + data)
    if cut is None or check([cut]) != TextDeltas([text], [cut]):
        return None
    return shape if _text_of(data[:after] + b"?" + data[after:]) == text + "?" else None


def _text_of(data: bytes) -> object:
    """What the slow path would find in this frame."""
    try:
        return orjson.loads(data)["data"]["delta"]
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return None


def _are_flat(members: bytes) -> bool:
    """Whether these are members of one object, as far as they are JSON at all, and none makes it a child's."""
    return not (b"{" in members or b"\\" in members or b"\n" in members or b"\r" in members or b"spawnPath" in members)


def _breaks_lines(encoded: bytes) -> bool:
    """Whether there are characters in it that some clients take for line ends."""
    return not encoded.isascii() and any(line_break in encoded for line_break in _LINE_BREAKS)


def check(encoded: list[bytes]) -> TextDeltas | None:
    """The deltas with these texts, or None if one of them may not be sent on as it is."""
    array = b'["' + b'","'.join(encoded) + b'"]'
    if b'\\","' in array or array.endswith(b'\\"]'):
        return None  # a backslash at an end may belong to the quote behind it: two texts would be one
    if _breaks_lines(array):
        return None
    try:
        texts = orjson.loads(array)
        "".join(texts)  # a broken one may have made a list of its neighbours
    except (orjson.JSONDecodeError, TypeError):
        return None
    return TextDeltas(texts, encoded) if len(texts) == len(encoded) else None
