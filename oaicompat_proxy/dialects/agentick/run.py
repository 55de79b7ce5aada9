"""What is known of one run while it is read: which of its frames are needed, and what they say.

What makes an end:

- `execution_end` of this run with `error` or `aborted`, or a transport `error` (its `error` is a string): failed;
- `execution_end` with empty `data`, which the gateway adds behind the real one: done.

The real `execution_end` alone is not the last word: a gateway that dies between the two has lost the connection.
Children's events carry `spawnPath`; they are never this run's.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from ...errors import UpstreamError
from ...events import Event, RunEnded, RunFailed
from ...readonly import readonly
from ...sse import Keep
from .names import BARE, COPY_NAMES, KEEPS, KEEPS_WITH_DEEDS, name_of
from .parsers import COPIES, DEEDS, PARSERS, Data, failure_of, text_of

_USER_ENTRY = re.compile(rb'"message"\s*:\s*\{\s*"role"\s*:\s*"(?!assistant)')


@readonly
class Kind:
    """What an event of one name does to a run."""

    parse: Callable[[Data], Event | None]
    note: Callable[[Run, Data], None] | None
    """Remembers what decides which of the later frames are needed, and what they leave out."""
    is_bare: Callable[[bytes], bool] | None = None
    """Whether a frame says nothing but its name."""
    bare: Event | None = None
    """What it says then."""


class Run:
    """Judges a frame by its beginning, then hears its data. A child's data is not to be given to it."""

    __slots__ = (
        "_children",
        "_keeps",
        "_kinds",
        "_resumed",
        "calls_tool",
        "ended",
        "execution_id",
        "message_known",
        "over",
    )

    def __init__(self, *, with_deeds: bool, resumed: bool) -> None:
        """As for the `EventReader`."""
        self._keeps = KEEPS_WITH_DEEDS if with_deeds else KEEPS
        self._kinds = KINDS_WITH_DEEDS if with_deeds else KINDS
        self._resumed = resumed
        # moving
        self.over = False
        """The agent has said its last word."""
        self.ended = False
        """The real end was there: what may still come of this run is its last word."""
        self.execution_id = ""
        self.calls_tool = False
        """This tick calls a tool, so an answer may end with it, and only `message` has its usage by then."""
        self.message_known = resumed
        """This tick's message has come by pieces or whole: its copies are not needed."""
        self._children: dict[str, str] = {}
        """Names of children that run: only their beginning tells them."""

    def judge(self, head: bytes) -> Keep | None:
        """What is needed of the frame that begins like this."""
        name = name_of(head)
        if name is None:
            return Keep(None)
        keep = self._keeps.get(name)
        if keep is None and name in COPY_NAMES and self._is_needed_copy(COPY_NAMES[name], head):
            return Keep(COPY_NAMES[name])
        return keep

    def _is_needed_copy(self, name: str, head: bytes) -> bool:
        """Whether this copy of the whole message is the first to tell something."""
        if name == "message":
            return self.calls_tool or not self.message_known
        if name == "model_response":
            return not self.message_known
        return name == "entry_committed" and not self.message_known and not _USER_ENTRY.search(head)

    def hear_named(self, name: str, data: Data) -> Event | None:
        """What the event of any name says; None if nothing. Raises UpstreamError."""
        if name == "error" and isinstance(data.get("error"), str):
            return self._fail(data["error"])
        return None if self.ended else self.hear(self._kinds.get(name, _UNKNOWN), data)

    def hear(self, kind: Kind, data: Data) -> Event | None:
        """What an event says that comes before the end and is no last word."""
        if not self.execution_id:
            self.execution_id = text_of(data, "executionId")
        if kind.note is not None:
            kind.note(self, data)
        try:
            return kind.parse(data)
        except RecursionError:
            raise UpstreamError("The agent sent an event that is nested too deeply.") from None

    def hear_bare(self, kind: Kind) -> Event | None:
        """The same of a frame that says nothing but its name, in a run that has told its own."""
        if kind.note is not None:
            kind.note(self, {})
        return kind.bare

    def end(self, data: Data) -> Event | None:
        """What an `execution_end` says."""
        if not data:
            self.over = True
            return RunEnded()
        if error := data.get("error"):
            return self._fail(text_of(error, "message") if isinstance(error, dict) else str(error))
        if data.get("aborted"):
            return self._fail("Execution aborted")
        self.ended = True
        if not self._resumed:
            return None
        self.over = True
        return RunEnded()

    def _fail(self, message: str) -> RunFailed:
        self.over = True
        return failure_of(message)

    # what decides about later frames

    def _start_tick(self, _data: Data) -> None:
        self.message_known = self.calls_tool = False

    def _know_message(self, _data: Data) -> None:
        """By its beginning or as a whole."""
        self.message_known = True

    def _call_tool(self, _data: Data) -> None:
        self.calls_tool = True

    def _start_child(self, data: Data) -> None:
        self._children[text_of(data, "spawnId")] = text_of(data, "label") or text_of(data, "componentName")

    def _end_child(self, data: Data) -> None:
        data.setdefault("componentName", self._children.pop(text_of(data, "spawnId"), ""))


_NOTES: Mapping[str, Callable[[Run, Data], None]] = {
    "tick_start": Run._start_tick,
    "message_start": Run._know_message,
    "content_delta": Run._know_message,
    "reasoning_delta": Run._know_message,
    "message": Run._know_message,
    "model_response": Run._know_message,
    "tool_call_start": Run._call_tool,
    "tool_call": Run._call_tool,
    "spawn_start": Run._start_child,
    "spawn_end": Run._end_child,
}
_UNKNOWN = Kind(lambda data: None, None)
KINDS = {
    name: Kind(parse, _NOTES.get(name), BARE.get(name), parse({}) if name in BARE else None)
    for name, parse in (PARSERS | COPIES).items()
}
KINDS_WITH_DEEDS = KINDS | {name: Kind(parse, _NOTES.get(name)) for name, parse in DEEDS.items()}
