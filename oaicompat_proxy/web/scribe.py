"""One recording while it is made: a file that only its owner may read, written line by line, up to its limit."""

from __future__ import annotations

import logging
import os
import re
import time
import uuid
from datetime import UTC, datetime
from io import FileIO
from pathlib import Path

from .. import __version__
from ..masking import Masker, mask
from ..recording import Entry, Kind, Manner, encode_entry, encode_head

log = logging.getLogger(__name__)

NAME = re.compile(r"\d{8}T\d{6}\.\d{3}Z-[\w-]+\.jsonl", re.ASCII)
"""Recordings are found, and deleted when there are too many, by this name."""


class Scribe:
    """Writes at once, so that the file shows where a run hangs. A disk that fails ends the recording, not the answer.

    Until `begin` there is no file: a request that is refused without a run leaves none.
    """

    def __init__(
        self, directory: Path, *, most: int, masked: bool, request_id: str, began: float, secret: bytes = b""
    ) -> None:
        """`most`: bytes of the file. `began`: the `time.monotonic()` at which the request came.

        `secret`: what a gateway might quote of ours, which a masked recording must not hold.
        """
        self._directory = directory
        self._masked = masked
        self._request_id = request_id
        self._began = began
        self._secret = secret
        self._maskers: dict[Kind, Masker] = {"native": Masker(), "client": Masker()} if masked else {}
        # moving
        self._left = most
        self._file: FileIO | None = None

    def begin(self, manner: Manner) -> None:
        now = datetime.now(UTC)
        safe = re.sub(r"[^\w-]", "_", self._request_id, flags=re.ASCII)[:64]
        name = f"{now:%Y%m%dT%H%M%S}.{now.microsecond // 1000:03d}Z-{safe}-{uuid.uuid4().hex[:6]}.jsonl"
        head = encode_head(manner, masked=self._masked, request_id=self._request_id, version=__version__)
        try:
            number = os.open(self._directory / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except OSError as error:
            log.warning("%s: cannot be recorded: %s", self._request_id, error)
            return
        self._file = FileIO(number, "w")
        self._write(head)

    def native(self, data: bytes) -> None:
        """One read of the gateway's stream."""
        self._add("native", data)

    def client(self, data: bytes) -> None:
        """One write of a streamed answer."""
        self._add("client", data)

    def body(self, status: int, data: bytes) -> None:
        """An answer in one piece."""
        data = self._conceal(mask(data)) if self._masked else data
        self._write(encode_entry(Entry(self._now(), "body", data, status)))

    def end(self, word: str) -> None:
        """How it ended. Nothing is written after it."""
        for kind, masker in self._maskers.items():
            self._add_bytes(kind, self._conceal(masker.finish()))
        self._write(encode_entry(Entry(self._now(), "end", word.encode())))
        self._close()

    def _add(self, kind: Kind, data: bytes) -> None:
        if self._file is None:
            return
        masker = self._maskers.get(kind)
        if masker is None:
            self._add_bytes(kind, data)
        elif masker.held + len(data) <= self._left:
            self._add_bytes(kind, self._conceal(masker.feed(data)))
        else:
            self._stop("it is too long")

    def _conceal(self, data: bytes) -> bytes:
        """Whole lines, so that it is not cut in two."""
        return data.replace(self._secret, b"[redacted]") if self._secret else data

    def _add_bytes(self, kind: Kind, data: bytes) -> None:
        if data:
            self._write(encode_entry(Entry(self._now(), kind, data)))

    def _write(self, line: bytes) -> None:
        if self._file is None:
            return
        self._left -= len(line)
        if self._left < 0:
            self._stop("it is too long")
            return
        try:
            self._file.write(line)
        except OSError as error:
            self._stop(str(error))

    def _stop(self, why: str) -> None:
        log.warning("%s: the recording ends early: %s", self._request_id, why)
        self._close()

    def _close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def _now(self) -> float:
        return 1000 * (time.monotonic() - self._began)
