"""The file format of recordings: the gateway's bytes of one run with their times, and the answer to the client.

A file has one JSON object on each line:

    {"recording": 1, "version": "0.2.0", "request_id": "req_…", "masked": true, "manner": {…}}
    {"ms": 3.1, "native": "data: {\\"type\\":\\"event\\",…}\\n\\n"}
    {"ms": 3.2, "run": ""}
    {"ms": 3.3, "client": "data: {\\"id\\":\\"chatcmpl-…\\",…}\\n\\n"}
    {"ms": 9.0, "status": 502, "body": "{\\"error\\":{…}}"}
    {"ms": 9.1, "end": "answered"}

`native` is one read of the gateway's stream; in a masked recording it has complete lines only. `run` separates the
streams of two runs, if the agent was started again after a confirmation. `client` is one write of a streamed answer,
`body` is a whole answer. Bytes that are not UTF-8 become lone surrogates, as Python's `surrogateescape` maps them. A
plain event stream, as `curl` writes it, is a recording with `native` entries only.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from itertools import groupby
from json import JSONDecodeError, dumps, loads
from typing import Any, Literal

from ..core.answer_options import AnswerOptions
from .masked_text import mask_text
from .masking import mask_name

FORMAT = 1

Kind = Literal["native", "run", "client", "body", "end"]


class RecordingError(ValueError):
    """The file is not a recording, or was written by a later release. The message is for people."""


@dataclass(frozen=True, slots=True)
class Entry:
    ms: float
    """Milliseconds since the request was read."""
    kind: Kind
    data: bytes
    status: int = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    options: AnswerOptions
    entries: list[Entry] = field(default_factory=list)
    masked: bool = False
    request_id: str = ""
    version: str = ""

    def of(self, kind: Kind) -> Iterator[Entry]:
        return (entry for entry in self.entries if entry.kind == kind)

    def runs(self) -> Iterator[bytes]:
        """The gateway's bytes of each run."""
        for begins, entries in groupby(self.entries, lambda entry: entry.kind == "run"):
            if not begins:
                yield b"".join(entry.data for entry in entries if entry.kind == "native")

    def bytes_of(self, kind: Kind) -> bytes:
        return b"".join(entry.data for entry in self.of(kind))


def encode_head(
    options: AnswerOptions,
    *,
    masked: bool,
    request_id: str,
    version: str,
    private_form: frozenset[str],
) -> bytes:
    """The first line of a file. `private_form`: members of `options.form` that a masked recording masks."""
    written = {"endpoint" if each.name == "api" else each.name: getattr(options, each.name) for each in fields(options)}
    form = dict(written.pop("form"))
    if masked:
        form |= {name: mask_text(str(form[name])) for name in private_form & form.keys()}
        written["model"] = mask_name(options.model)
        written["tool_names"] = [mask_name(name) for name in options.tool_names]
    members = {**written, **form}
    return _line(
        {"recording": FORMAT, "version": version, "request_id": request_id, "masked": masked, "manner": members}
    )


def encode_entry(entry: Entry) -> bytes:
    """The line of one entry."""
    status = {"status": entry.status} if entry.kind == "body" else {}
    text = entry.data.decode("utf-8", "surrogateescape")
    return _line({"ms": round(entry.ms, 1), **status, entry.kind: text})


def _line(members: dict[str, Any]) -> bytes:
    try:
        return dumps(members, ensure_ascii=False).encode() + b"\n"
    except UnicodeEncodeError:  # a lone surrogate
        return dumps(members).encode() + b"\n"


def read(data: bytes, plain: AnswerOptions | None = None) -> Recording:
    """Reads a file's bytes. `plain`: the options for a plain event stream. Raises RecordingError.

    An incomplete last line is ignored, since the writing process may have been killed.
    """
    if not data.startswith(b'{"recording"'):
        if data and b"data:" not in data:
            raise RecordingError("this is neither a recording nor an event stream")
        return Recording(options=plain or AnswerOptions(), entries=[Entry(0.0, "native", data)])
    first, *lines = data.split(b"\n")
    head = _parse(first)
    if head.get("recording") != FORMAT:
        raise RecordingError(f"this is a recording of format {head.get('recording')}; this release reads {FORMAT}")
    return Recording(
        options=_read_options(head.get("manner")),
        entries=[_entry(_parse(line)) for line in lines[:-1]],
        masked=head.get("masked") is True,
        request_id=str(head.get("request_id", "")),
        version=str(head.get("version", "")),
    )


def _parse(line: bytes) -> dict[str, Any]:
    try:
        members = loads(line)
    except (JSONDecodeError, UnicodeDecodeError):
        members = None
    if not isinstance(members, dict):
        raise RecordingError(f"a line of the recording is no JSON object: {line[:60]!r}")
    return members


def _read_options(members: Any) -> AnswerOptions:
    """Members that are not fields of `AnswerOptions` belong to its `form`."""
    members = dict(members) if isinstance(members, dict) else {}
    members["tool_names"] = tuple(members.get("tool_names", ()))
    members["api"] = str(members.pop("endpoint", "chat"))
    known = {each.name for each in fields(AnswerOptions)} - {"form"}
    form = {name: value for name, value in members.items() if name not in known}
    return AnswerOptions(form=form, **{name: value for name, value in members.items() if name in known})


def _entry(members: dict[str, Any]) -> Entry:
    kinds: tuple[Kind, ...] = ("native", "run", "client", "body", "end")
    for kind in kinds:
        if isinstance(members.get(kind), str):
            data = members[kind].encode("utf-8", "surrogateescape")
            return Entry(float(members.get("ms", 0)), kind, data, int(members.get("status", 200)))
    raise RecordingError(f"a line of the recording has none of {', '.join(kinds)}: {str(members)[:60]}")
