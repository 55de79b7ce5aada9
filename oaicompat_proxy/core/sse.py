"""The event-stream standard: bytes, cut anywhere, to frames; payloads to bytes.

Source: WHATWG HTML, "Server-sent events", section "Interpreting an event stream". Followed in full, with two
bounds of our own: a frame that is kept has a largest size, and a frame that nobody needs is judged by its first
bytes and thrown away while it arrives. Lines of any length cost linear time.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from .errors import UpstreamFrameTooLong

DONE = b"data: [DONE]\n\n"
"""The last line of every OpenAI stream."""

COMMENT = b": ping\n\n"
"""A block without data: shows that the stream lives. Readers that dispatch every block break on it."""

HEAD = 256
"""Bytes of a data line after which it is judged: enough for an event's name in any key order seen so far."""

MARK = b"\xef\xbb\xbf"
"""The byte-order mark that may stand in front of a stream."""

_LINE_END = re.compile(rb"\r\n|\n|\r")


def encode(payload: bytes) -> bytes:
    """One event for everybody: a single `data: ` line and its empty line. `payload` holds no line end."""
    return b"data: " + payload + b"\n\n"


class Keep(NamedTuple):
    """What a judge says of a frame that is needed."""

    tag: Any
    """Handed back on the frame, so that what the judge recognised is not looked for again."""
    limit: int | None = None
    """Bytes of the payload that are needed; the rest is thrown away. None: all of it."""
    suffices: Callable[[bytes], bool] | None = None
    """Whether so many bytes tell what is needed of a longer payload; otherwise all of it is kept."""


class Frame(NamedTuple):
    """One dispatched event. `data` is as it came: it may be no UTF-8."""

    data: bytes
    tag: Any = None
    truncated: bool = False
    event: bytes = b"message"
    last_event_id: bytes = b""

    @property
    def text(self) -> str:
        """The data, with U+FFFD for what is no UTF-8, as the standard says."""
        return self.data.decode("utf-8", "replace")


Judge = Callable[[bytes], Keep | None]
"""Says what to do with an event, from the first bytes of its first data line; None throws it away."""


def keep_all(_head: bytes) -> Keep:
    return Keep(None)


class FrameReader:
    """Reads frames from bytes: `feed()` each read, take the frames that it completed.

    An event without its final empty line is never dispatched, so the end of the stream needs no call.
    """

    at_start = True
    """A mark may still come; whoever looked and saw that there is none may say so."""
    # the line that has no end yet
    _held = 0
    _patience = HEAD
    _discarding = False
    _after_cr = False
    # the event that has no empty line yet
    _size = 0
    _keep: Keep | None = None
    _judged = False
    _event = b""
    _last_id = b""

    def __init__(self, *, max_frame: int, judge: Judge = keep_all) -> None:
        """`max_frame`: bytes of one kept frame and of one line; more raises UpstreamFrameTooLong from `feed`."""
        self._max_frame = max_frame
        self._judge = judge
        self._pieces: list[bytes] = []
        """Of the line."""
        self._data: list[bytes] = []
        """Lines of the event."""

    def feed(self, data: bytes) -> Iterator[Frame]:
        """The frames that end within `data`, in order. Raises UpstreamFrameTooLong.

        Lazy, so that a judge may have learned from one frame before it is asked about the next: exhaust it.
        """
        if self.at_start or self._after_cr:
            data = self._trim(data)
        if b"\r" in data:
            self._after_cr = data.endswith(b"\r")
            lines = _LINE_END.split(data)
        else:
            lines = data.split(b"\n")
        rest = lines.pop()
        for number, piece in enumerate(lines):
            line = piece if number else self._complete(piece)
            if line:
                self._take(line)
            elif line is not None and (self._judged or self._event):
                yield from self._dispatch()
        if rest:
            self._hold(rest)

    @property
    def between_frames(self) -> bool:
        """All that came was whole frames."""
        return not (self._pieces or self._discarding or self._judged or self._event or self._after_cr or self.at_start)

    def _trim(self, data: bytes) -> bytes:
        """Drops what belongs to the previous read: the LF of a CR LF, and the rest of a leading mark."""
        if self._after_cr:
            self._after_cr = not data
            return data.removeprefix(b"\n")
        data = b"".join((*self._pieces, data))
        self._pieces.clear()
        if len(data) < len(MARK) and MARK.startswith(data):
            self._pieces.append(data)
            return b""
        self.at_start = False
        return data.removeprefix(MARK)

    def _complete(self, end: bytes) -> bytes | None:
        """The whole line that `end` completes, or None if the line was thrown away."""
        if self._discarding:
            self._discarding = False
            return None
        if not self._pieces:
            return end
        self._pieces.append(end)
        line = b"".join(self._pieces)
        self._forget_line()
        return line

    def _forget_line(self) -> None:
        self._pieces.clear()
        self._held = 0
        self._patience = HEAD

    def _hold(self, piece: bytes) -> None:
        """Keeps the beginning of a line until it is long enough to be judged."""
        if self._discarding:
            return
        self._pieces.append(piece)
        self._held += len(piece)
        if self._held > self._patience:
            self._judge_early()

    def _judge_early(self) -> None:
        """Decides what becomes of a long line before its end is there."""
        line = b"".join(self._pieces)
        self._pieces[:] = [line]
        self._patience = self._max_frame
        if line.startswith(b":"):
            self._discard()
        elif line.startswith(b"data:"):
            self._judge_data(line)
        if self._held > self._max_frame:
            raise UpstreamFrameTooLong(f"The agent sent a line of more than {self._max_frame} bytes.")

    def _judge_data(self, line: bytes) -> None:
        if not self._judged:
            self._open(_value(line))
        if self._keep is None:
            self._discard()
        elif self._keep.limit is not None:
            self._patience = len("data: ") + self._keep.limit
            if self._held <= self._patience:
                return
            value = _value(line)
            if self._is_enough(self._keep, value):
                self._take_data(value)
                self._discard()
            else:
                self._patience = self._max_frame

    def _discard(self) -> None:
        """Throws away the current line: what is there, and what is still to come."""
        self._forget_line()
        self._discarding = True

    def _open(self, value: bytes) -> None:
        """Judges the event that begins with this data."""
        self._judged = True
        self._keep = self._judge(value[:HEAD])

    def _take(self, line: bytes) -> None:
        """One whole line that is not empty."""
        if line.startswith(b"data:"):
            self._take_data(_value(line))
            return
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if name == b"data":
            self._take_data(value)
        elif name == b"event":
            self._event = value
        elif name == b"id" and b"\0" not in value:
            self._last_id = value

    def _take_data(self, value: bytes) -> None:
        if not self._judged:
            self._open(value)
        if self._keep is None:
            return
        self._size += len(value) + 1
        if self._keep.limit is not None and self._is_enough(self._keep, value):
            if not self._data:
                self._data.append(value[: self._keep.limit])
            return
        if self._size > self._max_frame:
            raise UpstreamFrameTooLong(f"The agent sent an event of more than {self._max_frame} bytes.")
        self._data.append(value)

    def _is_enough(self, keep: Keep, value: bytes) -> bool:
        """Whether the beginning of this event, of which `value` is the next line, tells what is needed of it."""
        limit = keep.limit or 0
        if keep.suffices is None or (not self._data and len(value) <= limit):
            return True
        if len(self._data[0]) == limit if self._data else keep.suffices(value[:limit]):
            return True
        self._keep = Keep(keep.tag)
        return False

    def _dispatch(self) -> Iterator[Frame]:
        """The empty line: the event is complete."""
        keep, event = self._keep, self._event or b"message"
        data = b"\n".join(self._data)
        truncated = self._size > len(data) + 1
        self._data.clear()
        self._size = 0
        self._keep = None
        self._judged = False
        self._event = b""
        if keep is not None:
            yield Frame(data, keep.tag, truncated, event, self._last_id)


def _value(line: bytes) -> bytes:
    """The value of a `data:` line."""
    return line[6:] if line.startswith(b" ", 5) else line[5:]
