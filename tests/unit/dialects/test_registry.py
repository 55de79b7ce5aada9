"""Every dialect that can be chosen is there, and no other."""

from __future__ import annotations

from pathlib import Path

import pytest

from oaicompat_proxy.config.fields import choices_of
from oaicompat_proxy.config.settings import SETTINGS
from oaicompat_proxy.dialects.registry import DIALECTS, find_dialect
from tests.support.paths import GOLDEN


def test_the_setting_and_the_rooms_agree() -> None:
    (setting,) = (each for each in SETTINGS if each.name == "dialect")
    assert set(DIALECTS) == set(choices_of(setting))
    assert setting.default in DIALECTS


@pytest.mark.parametrize(
    ("stream", "dialect"),
    [
        (b'data: {"type":"event","event":"execution_start","sessionId":"s"}\n\n', "agentick"),
        (b'data: {"type" : "connection"}\n\n', "agentick"),
        (b'data: {"type":"RUN_STARTED","threadId":"t1","runId":"r1"}\n\n', "ag-ui"),
        (b'data: {"timestamp":7,"type" : "SOMETHING_NEW"}\n\n', "ag-ui"),
        (b': ping\n\ndata: hello\n\ndata: {"type":"RUN_ERROR","message":"x"}\n\n', "ag-ui"),
        (b'data: {"type":"RUN_STARTED","input":"' + b"x" * 5000 + b'"}\n\n', "ag-ui"),
        (b'data: {"type":"RUN_STARTED"', None),
        (b"data: hello\n\n", None),
        (b'data: {"id":"chatcmpl-1"}\n\n', None),
        (b"", None),
    ],
)
def test_a_streams_first_event_shows_its_dialect(stream: bytes, dialect: str | None) -> None:
    assert find_dialect(stream) == dialect


@pytest.mark.parametrize("path", sorted(GOLDEN.glob("*.native.sse")), ids=lambda each: each.name)
def test_the_dialect_of_every_transcript_is_found(path: Path) -> None:
    stream = path.read_bytes()
    expected = "ag-ui" if path.name.startswith("ag_ui_") else "agentick"
    assert find_dialect(stream) == (expected if stream else None)
