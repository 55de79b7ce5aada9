"""One run of the inspector as a recording, for the download and for a new translation. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from ... import __version__
from ...api.protocol import ClientApi
from ...core.answer_options import AnswerOptions
from ...dialects.registry import DIALECTS
from ...recordings.format import Entry, Kind, Recording, encode_entry, encode_head
from ...recordings.masking import Masker

RECORDED: tuple[Kind, ...] = ("native", "run", "client", "body", "end")


def to_recording(options: AnswerOptions, entries: Iterable[tuple[float, str, bytes]], request_id: str) -> Recording:
    """`entries`: milliseconds, kind and bytes of each. Kinds that a recording does not have are left out."""
    kinds: dict[str, Kind] = {kind: kind for kind in RECORDED}
    kept = [Entry(ms, kinds[kind], data) for ms, kind, data in entries if kind in kinds]
    return Recording(options=options, entries=kept, request_id=request_id, version=__version__)


def encode(recording: Recording, api: ClientApi, *, masked: bool, secrets: Sequence[str]) -> Iterator[bytes]:
    """The lines of the file. `secrets`: tokens that no recording contains."""
    options = recording.options
    yield encode_head(
        options,
        masked=masked,
        request_id=recording.request_id,
        version=recording.version,
        private_form=api.private_form,
    )
    entries = _masked(recording, api) if masked else recording.entries
    for entry in entries:
        data = entry.data
        for secret in secrets:
            data = data.replace(secret.encode(), b"[redacted]")
        yield encode_entry(Entry(entry.ms, entry.kind, data, entry.status))


def _masked(recording: Recording, api: ClientApi) -> Iterator[Entry]:
    """The masked entries; those of a stream have whole lines only."""
    fields = {"native": DIALECTS[recording.options.dialect].recorded_fields, "client": api.recorded_fields}
    maskers = {kind: Masker(each) for kind, each in fields.items()}
    for entry in recording.entries:
        if entry.kind in ("run", "end"):
            for kind in ("native", *(("client",) if entry.kind == "end" else ())):
                yield from _flushed(maskers[kind], entry.ms, "native" if kind == "native" else "client")
            yield entry
        elif entry.kind == "body":
            masker = Masker(api.recorded_fields)
            yield Entry(entry.ms, "body", masker.feed(entry.data) + masker.finish(), entry.status)
        elif data := maskers[entry.kind].feed(entry.data):
            yield Entry(entry.ms, entry.kind, data)


def _flushed(masker: Masker, ms: float, kind: Kind) -> Iterator[Entry]:
    if rest := masker.finish():
        yield Entry(ms, kind, rest)
