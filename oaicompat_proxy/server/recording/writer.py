"""Writes one recording: a file that only its owner may read, line by line, up to a maximum size."""

from __future__ import annotations

import logging
import re
import time
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from typing import NamedTuple

from ... import __version__
from ...api.protocol import ClientApi
from ...core.answer_options import AnswerOptions
from ...core.recorded_fields import RecordedFields
from ...dialects.registry import DIALECTS
from ...recordings.format import Entry, Kind, encode_entry, encode_head
from ...recordings.masking import Masker
from ..observability.run_recorder import RunRecorder
from .directory import RecordingDirectory, RecordingFile
from .kept_recordings import UNIQUE_LENGTH

log = logging.getLogger(__name__)


class RecordingWriter(RunRecorder):
    """Queues each piece at once, so that the file shows where a run hangs; the directory's thread masks and writes.

    A disk that fails or is too slow ends the recording, not the answer. `begin` creates the file, so a request that is
    rejected without a run leaves none.
    """

    def __init__(
        self,
        directory: RecordingDirectory,
        api: ClientApi,
        *,
        max_bytes: int,
        masked: bool,
        request_id: str,
        began: float,
        owner: str = "",
        secret: bytes = b"",
    ) -> None:
        """`max_bytes`: of the file. `began`: the `time.monotonic()` at which the request came.

        `owner`: the caller's mark in the file's name. `secret`: the upstream token, which a gateway may quote and a
        masked recording must not contain.
        """
        self._directory = directory
        self._api = api
        self._max_bytes = max_bytes
        self._masked = masked
        self._request_id = request_id
        self._began = began
        self._secret = secret
        self._owner = owner
        # state
        self._lines: _Lines | None = None

    def begin(self, options: AnswerOptions) -> None:
        now = datetime.now(UTC)
        safe = re.sub(r"[^\w-]", "_", self._request_id, flags=re.ASCII)[: 73 - len(self._owner)]
        unique = uuid.uuid4().hex[:UNIQUE_LENGTH]
        name = f"{now:%Y%m%dT%H%M%S}.{now.microsecond // 1000:03d}Z-{safe}-{self._owner}{unique}.jsonl"
        head = encode_head(
            options,
            masked=self._masked,
            request_id=self._request_id,
            version=__version__,
            private_form=self._api.private_form,
        )
        native, client = DIALECTS[options.dialect].recorded_fields, self._api.recorded_fields
        readable = _ReadableFields(native, client) if self._masked else None
        self._lines = _Lines(self._directory, readable, self._max_bytes, self._secret)
        self._submit(len(head), lambda lines: lines.begin(name, head))

    def begin_next_run(self) -> None:
        """The agent's stream has ended; further bytes are from the stream in which the run continues."""
        self._add("run", b"")

    def gateway_bytes(self, data: bytes) -> None:
        """One read of the gateway's stream."""
        self._add("native", data)

    def client_bytes(self, data: bytes) -> None:
        """One write of a streamed answer."""
        self._add("client", data)

    def body(self, status: int, data: bytes) -> None:
        """An answer that is sent as one JSON body."""
        ms = self._now()
        self._submit(len(data), lambda lines: lines.add_whole(Entry(ms, "body", data, status)))

    def end(self, outcome: str) -> None:
        """Writes how the request ended, and closes the file."""
        ms = self._now()
        self._submit(0, lambda lines: lines.end(Entry(ms, "end", outcome.encode())))
        self._lines = None

    def _add(self, kind: Kind, data: bytes) -> None:
        if self._lines is not None:
            ms = self._now()
            self._submit(len(data), lambda lines: lines.add(Entry(ms, kind, data)))

    def _submit(self, size: int, work: Callable[[_Lines], None]) -> None:
        lines = self._lines
        if lines is None:
            return
        if not self._directory.submit(size, lambda: self._do(lines, work)):
            self._lines = None
            self._directory.submit(0, lambda: self._fail(lines, "the disk is too slow"))

    def _now(self) -> float:
        return 1000 * (time.monotonic() - self._began)

    # in the directory's thread

    def _do(self, lines: _Lines, work: Callable[[_Lines], None]) -> None:
        if lines.failed:
            return
        try:
            work(lines)
        except OSError as error:
            self._fail(lines, error.strerror or str(error))

    def _fail(self, lines: _Lines, why: str) -> None:
        if not lines.failed:
            lines.fail()
            log.warning("%s: the recording ends early: %s", self._request_id, why)


class _ReadableFields(NamedTuple):
    """The fields that stay readable in a masked recording."""

    native: RecordedFields
    client: RecordedFields


class _TooLong(OSError):
    """The recording would exceed its maximum size."""


class _Lines:
    """The lines of one file. Only `failed` is used outside the directory's thread. Methods raise OSError."""

    def __init__(
        self, directory: RecordingDirectory, readable: _ReadableFields | None, max_bytes: int, secret: bytes
    ) -> None:
        """`readable`: None if nothing is masked."""
        self._directory = directory
        self._secret = secret if readable else b""
        self._readable = readable
        self._maskers: dict[Kind, Masker] = {}
        if readable:
            self._maskers = {"native": Masker(readable.native), "client": Masker(readable.client)}
        # state
        self.failed = False
        self._left = max_bytes
        self._file: RecordingFile | None = None

    def begin(self, name: str, head: bytes) -> None:
        self._file = self._directory.create(name)
        self._write(head)

    def add(self, entry: Entry) -> None:
        """Adds a piece of a stream; of a masked one only complete lines are written."""
        if entry.kind == "run":
            self._add_run(entry)
            return
        masker = self._maskers.get(entry.kind)
        if masker is None:
            self._write(encode_entry(entry))
        elif masker.buffered + len(entry.data) > self._left:
            raise _TooLong("it is too long")
        elif masked := masker.feed(entry.data):
            self._write(encode_entry(Entry(entry.ms, entry.kind, self._without_secret(masked))))

    def _add_run(self, entry: Entry) -> None:
        """Adds the mark of the next run, behind all bytes of the previous one."""
        if self._readable:
            rest = self._maskers["native"].finish()
            self._maskers["native"] = Masker(self._readable.native)
            if rest:
                self._write(encode_entry(Entry(entry.ms, "native", self._without_secret(rest))))
        self._write(encode_entry(entry))

    def add_whole(self, entry: Entry) -> None:
        """Adds a body."""
        if self._readable:
            masker = Masker(self._readable.client)
            data = self._without_secret(masker.feed(entry.data) + masker.finish())
            entry = Entry(entry.ms, entry.kind, data, entry.status)
        self._write(encode_entry(entry))

    def end(self, entry: Entry) -> None:
        for kind, masker in self._maskers.items():
            if rest := masker.finish():
                self._write(encode_entry(Entry(entry.ms, kind, self._without_secret(rest))))
        self._write(encode_entry(entry))
        self._close()

    def fail(self) -> None:
        self.failed = True
        self._close()

    def _without_secret(self, data: bytes) -> bytes:
        """Removes the secret from whole lines; in pieces of lines it could be split."""
        return data.replace(self._secret, b"[redacted]") if self._secret else data

    def _write(self, line: bytes) -> None:
        if self._file is None:
            return
        self._left -= len(line)
        if self._left < 0:
            raise _TooLong("it is too long")
        self._directory.append(self._file, line)

    def _close(self) -> None:
        if self._file is not None:
            self._directory.close(self._file)
            self._file = None
