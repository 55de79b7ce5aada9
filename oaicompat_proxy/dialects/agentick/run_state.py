"""What is known of one run while it is read: which of its frames are needed, and what they say.

What makes an end:

- `execution_end` of this run with `error` or `aborted`, or a transport `error` (its `error` is a string): failed;
- `execution_end` of this run without them, or with empty `data`: done. Agentick 0.9, and 0.14 in another server, send
  the empty one behind the run's own; the standalone transport of 0.14 does not.

What follows the end is not looked at. Children's events carry `spawnPath`; they are never this run's.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

import orjson

from ...core.errors import UpstreamError
from ...core.events import Event, RunEnded, RunFailed, ToolCalled, ToolCallSettled
from ...core.immutable import readonly
from ...core.sse import Keep
from .frames import BARE, COPY_NAMES, END_HEAD, KEEPS, KEEPS_WITH_DEEDS, call_id_of, name_of
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
        "_running",
        "calls_tool",
        "execution_id",
        "message_known",
        "over",
    )

    def __init__(self, *, with_deeds: bool, resumed: bool) -> None:
        """As for the `EventReader`."""
        self._keeps = KEEPS_WITH_DEEDS if with_deeds else KEEPS
        self._kinds = KINDS_WITH_DEEDS if with_deeds else KINDS
        # moving
        self.over = False
        """The agent has said its last word."""
        self.execution_id = ""
        self.calls_tool = False
        """This tick calls a tool, so an answer may end with it, and only `message` has its usage by then."""
        self.message_known = resumed
        """This tick's message has come by pieces or whole: its copies are not needed."""
        self._children: dict[str, str] = {}
        """Names of children that run: only their beginning tells them."""
        self._running: set[str] = set()
        """Ids of the calls of this tick whose tools run."""

    def judge(self, head: bytes) -> Keep | None:
        """What is needed of the frame that begins like this."""
        if self.over:
            return None
        name = name_of(head)
        if name is None:
            return Keep(None)
        if name == b"execution_end":
            return Keep("execution_end", END_HEAD, self._tells_end)
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
        return self.hear(self._kinds.get(name, _UNKNOWN), data)

    def hear(self, kind: Kind, data: Data) -> Event | None:
        """What an event says that comes before the end and is no last word."""
        if not self.execution_id:
            self.execution_id = text_of(data, "executionId")
        if kind.note is not None:
            kind.note(self, data)
        try:
            event = kind.parse(data)
            return event if self.message_known or type(event) is not ToolCalled else event._replace(is_early=True)
        except RecursionError:
            raise UpstreamError("The agent sent an event that is nested too deeply.") from None

    def hear_bare(self, kind: Kind) -> Event | None:
        """The same of a frame that says nothing but its name, in a run that has told its own."""
        if kind.note is not None:
            kind.note(self, {})
        return kind.bare

    def hear_head(self, name: str, head: bytes) -> Event | None:
        """What a frame says of which only so much was kept, because it suffices."""
        if name == "execution_end":
            data = _front_of_end(head)
            return None if data is None else self.end(data)
        call_id = call_id_of(head) or ""
        if self._running and call_id not in self._running:
            return None  # a child's, which runs while its parent's tool does
        self._running.discard(call_id)
        return ToolCallSettled(call_id)

    def end(self, data: Data) -> Event | None:
        """What an `execution_end` says; nothing if it is another's."""
        if self._is_anothers(data):
            return None
        error = data.get("error")
        if error is not None:
            return self._fail(text_of(error, "message") if isinstance(error, dict) else str(error))
        if data.get("aborted"):
            return self._fail("Execution aborted")
        self.over = True
        return RunEnded()

    def _is_anothers(self, data: Data) -> bool:
        execution = data.get("executionId", self.execution_id)
        return bool(data.get("spawnPath")) or (self.execution_id != "" and execution != self.execution_id)

    def _tells_end(self, head: bytes) -> bool:
        """Whether this beginning of a long `execution_end` tells whose it is, and how its run ended.

        The mark of a child may stand behind it, so only the id can tell.
        """
        data = _front_of_end(head)
        if data is None or not self.execution_id or not isinstance(data.get("executionId"), str):
            return False
        return self._is_anothers(data) or ("aborted" in data and ("usage" in data or data.get("error") is not None))

    def _fail(self, message: str) -> RunFailed:
        self.over = True
        return failure_of(message)

    # what decides about later frames

    def _start_tick(self, _data: Data) -> None:
        self.message_known = self.calls_tool = False
        self._running.clear()

    def _know_message(self, _data: Data) -> None:
        """By its beginning or as a whole."""
        self.message_known = True

    def _call_tool(self, _data: Data) -> None:
        self.calls_tool = True

    def _start_tool(self, data: Data) -> None:
        self._running.add(text_of(data, "callId"))

    def _end_tool(self, data: Data) -> None:
        self._running.discard(text_of(data, "callId"))

    def _start_child(self, data: Data) -> None:
        self._children[text_of(data, "spawnId")] = text_of(data, "label") or text_of(data, "componentName")

    def _end_child(self, data: Data) -> None:
        data.setdefault("componentName", self._children.pop(text_of(data, "spawnId"), ""))


def _front_of_end(head: bytes) -> Data | None:
    """The members of an `execution_end` that stand in front of its `output`; None if they are not all there."""
    front, found, _ = head.partition(b',"output":')
    try:
        data = orjson.loads(front + b"}}")["data"] if found else None
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return None
    return data if isinstance(data, dict) else None


_NOTES: Mapping[str, Callable[[Run, Data], None]] = {
    "tick_start": Run._start_tick,
    "message_start": Run._know_message,
    "content_delta": Run._know_message,
    "reasoning_delta": Run._know_message,
    "message": Run._know_message,
    "model_response": Run._know_message,
    "tool_call_start": Run._call_tool,
    "tool_call": Run._call_tool,
    "tool_result_start": Run._start_tool,
    "tool_result": Run._end_tool,
    "spawn_start": Run._start_child,
    "spawn_end": Run._end_child,
}
_UNKNOWN = Kind(lambda data: None, None)
KINDS = {
    name: Kind(parse, _NOTES.get(name), BARE.get(name), parse({}) if name in BARE else None)
    for name, parse in (PARSERS | COPIES).items()
}
KINDS_WITH_DEEDS = KINDS | {name: Kind(parse, _NOTES.get(name)) for name, parse in DEEDS.items()}
