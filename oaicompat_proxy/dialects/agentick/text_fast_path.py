"""The fast path: text deltas are cut out of their frames without decoding each frame as JSON.

Most frames of a stream are deltas, which differ in four fields. A template is derived from a frame that was decoded in
full; the text of a later frame that matches it is a slice. A frame is matched in these parts:

    data: {"type":"event","event":"content_delta","sessionId":"s","data":{"type":"content_delta",   prefix
    "id":"evt_1","sequence":8,"tick":1,"timestamp":"…",              any fields without nesting
    "blockType":"text","blockIndex":0,"delta":"                      infix
    Hello                                                            the text, as the inside of a JSON string
    ","executionId":"e1"}}                                           suffix

Inside a JSON string a quote has a backslash before it, so infix and suffix cannot be part of a text. `derive` proves
once for each template that the slice is the text. The slices of one read are checked as JSON together. Frames with
invalid UTF-8, control characters, lone surrogates, broken escapes, or characters that some clients treat as line ends
take the slow path.

Frames of two runs of one gateway differ only in the ids of session and execution, so `TemplateCache` reuses a template.
"""

from __future__ import annotations

import re

import orjson

from ...core.events import TextDeltas

MAX_BUFFERED = 64 * 1024
"""Bytes of an incomplete frame that are buffered for the fast path. A delta has a few hundred."""

_NAME = b'"data":{"type":"content_delta",'
_DELTA = b',"delta":"'
_KEY = b'"delta"'
_BLOCK = b'"blockType":"text"'
_SPAWN = b"spawnPath"
_BRACE, _CLOSING, _BACKSLASH, _LF, _CR = b"{}\\\n\r"
"""As integers: `int in bytes` is much faster than `bytes in bytes`."""
_LINE_BREAKS = (b"\xe2\x80\xa8", b"\xe2\x80\xa9", b"\xc2\x85")


class FrameTemplate:
    """Matches the text deltas of one run."""

    __slots__ = (
        "_frame_end",
        "_head",
        "_line_end",
        "_tail",
        "_to_text",
        "infix",
        "prefix",
        "suffix",
    )

    def __init__(self, prefix: bytes, infix: bytes, suffix: bytes) -> None:
        self.prefix = prefix
        self.infix = infix
        self.suffix = suffix
        self._line_end = suffix + b"\n"
        self._frame_end = suffix + b"\n\n"
        self._head = len(prefix)
        self._to_text = len(infix)
        self._tail = len(self._frame_end)

    def match(self, data: bytes) -> TextDeltas | None:
        """The text of a read that is exactly one matching frame, as most reads are; None for any other read."""
        if not (data.endswith(self._frame_end) and data.startswith(self.prefix)):
            return None
        at = data.find(self.infix, self._head)
        encoded = data[at + self._to_text : -self._tail]
        if at < 0 or not encoded or _LF in encoded or not _are_flat(data[self._head : at]):
            return None
        if not encoded.isascii() and _breaks_lines(encoded):
            return None
        try:
            return TextDeltas(orjson.loads(b'"%b"' % encoded), [encoded])
        except orjson.JSONDecodeError:
            return None

    def match_all(self, lines: list[bytes], at: int) -> tuple[TextDeltas | None, int]:
        """The texts of consecutive matching frames from line `at`, and the place of the first line after them.

        None in place of the texts if one of the frames may not take the fast path: match each alone then.
        """
        beginning, middle, end = self.prefix, self.infix, self._line_end
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
        return decode_together([text for text in texts if text] if b"" in texts else texts), at

    def may_begin(self, beginning: bytes) -> bool:
        """Whether this may be the beginning of a matching frame, and is short enough to be buffered."""
        known = self.prefix[: len(beginning)]
        return len(beginning) <= MAX_BUFFERED and beginning.startswith(known)


class TemplateCache:
    """The template of the latest run, without its ids, for the next run.

    A frame that does not match the template is decoded in full.
    """

    __slots__ = ("_parts",)

    def __init__(self) -> None:
        self._parts: tuple[bytes, bytes, bytes, bytes, bytes] | None = None
        """The bytes before and after the session id, the infix, and the bytes before and after the execution id."""

    def store(self, shape: FrameTemplate, session: str, execution: str) -> None:
        """Stores the template of a run with these ids, unless they have to be escaped in JSON."""
        around_session = _split_around(session, b"sessionId", shape.prefix)
        around_execution = _split_around(execution, b"executionId", shape.suffix)
        if around_session and around_execution:
            self._parts = (*around_session, shape.infix, *around_execution)

    def lookup(self, session: str, execution: str) -> FrameTemplate | None:
        """The template for a run with these ids; None if there is none.

        The proof of `derive` holds for it, since the ids have no quote, backslash or brace.
        """
        if self._parts is None or not _PLAIN_NAMES.fullmatch(session + execution):
            return None
        before_session, after_session, infix, before_execution, after_execution = self._parts
        prefix = before_session + session.encode() + after_session
        return FrameTemplate(prefix, infix, before_execution + execution.encode() + after_execution)


_PLAIN_NAMES = re.compile(r"[A-Za-z0-9:._-]+")


def _split_around(name: str, key: bytes, members: bytes) -> tuple[bytes, bytes] | None:
    """The bytes before and after the value of this key; None if the key with this value is not there."""
    opening = b'"%b":"' % key
    before, found, behind = members.partition(opening + name.encode("utf-8", "replace") + b'"')
    return (before + opening, b'"' + behind) if found else None


def derive(data: bytes, text: str) -> FrameTemplate | None:
    """The template of a frame that was decoded in full; None if the frame is not simple enough.

    `data`: the frame's payload. `text`: its `data.delta`.

    Proof that the slice is that text: without a backslash around it, each quote begins or ends a string, so a match of
    a key is a key. No other brace opens before it and none closes, so `data` is a key of the envelope and `delta` is a
    key of `data`. No second `delta` follows.
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
    return FrameTemplate(b"data: " + data[:members], data[block:start], end)


def _text_of(encoded: bytes) -> object:
    """The text of the inside of a JSON string; None if it is invalid."""
    try:
        return orjson.loads(b'"%b"' % encoded)
    except orjson.JSONDecodeError:
        return None


def _are_flat(members: bytes) -> bool:
    """Whether these are fields of one object without nesting, and none marks a child execution."""
    return not (
        _BRACE in members or _BACKSLASH in members or _LF in members or _CR in members or members.find(_SPAWN) >= 0
    )


def _breaks_lines(encoded: bytes) -> bool:
    """Whether text that is not ASCII has characters that some clients treat as line ends."""
    return any(encoded.find(line_break) >= 0 for line_break in _LINE_BREAKS)


def decode_together(encoded: list[bytes]) -> TextDeltas | None:
    """The deltas of these texts; None if one of them may not be sent on unchanged."""
    separated = b" ".join(encoded)  # the space keeps two neighbours from completing a split escape or character
    if not separated.isascii() and _breaks_lines(separated):
        return None
    try:
        orjson.loads(b'"%b"' % separated)
        return TextDeltas(orjson.loads(b'"%b"' % b"".join(encoded)), encoded)
    except orjson.JSONDecodeError:
        return None
