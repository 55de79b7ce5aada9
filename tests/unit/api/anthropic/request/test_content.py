"""Content blocks of every kind reach the agent."""

import base64
from typing import Any

import pytest

from oaicompat_proxy.api.anthropic.request.content import build_blocks
from oaicompat_proxy.api.anthropic.request.media import MediaReader
from oaicompat_proxy.core.message import Block, Media, Text

DATA = base64.b64encode(b"%PDF").decode()
PDF = {"type": "base64", "media_type": "application/pdf", "data": DATA}


@pytest.mark.parametrize(
    ("block", "blocks"),
    [
        ({"type": "text", "text": "Hi"}, [Text("Hi")]),
        (
            {"type": "image", "source": {"type": "url", "url": "https://a.example/b"}},
            [Media("image", url="https://a.example/b")],
        ),
        ({"type": "document", "source": PDF}, [Media("document", data=DATA, mime_type="application/pdf")]),
        (
            {"type": "document", "source": PDF, "title": "Tides", "context": "of Brest"},
            [Text("Tides\nof Brest"), Media("document", data=DATA, mime_type="application/pdf", name="Tides")],
        ),
        ({"type": "document", "source": {"type": "text", "data": "06:12"}, "title": "T"}, [Text("T\n06:12")]),
        ({"type": "document", "source": {"type": "content", "content": "06:12"}}, [Text("06:12")]),
        (
            {"type": "document", "source": {"type": "content", "content": [{"type": "text", "text": "06:12"}]}},
            [Text("06:12")],
        ),
        (
            {"type": "search_result", "source": "s", "title": "t", "content": [{"type": "text", "text": "x"}]},
            [Text("t\ns\nx")],
        ),
        ({"type": "container_upload", "file_id": "f"}, [Text('{"type":"container_upload","file_id":"f"}')]),
        ({"type": "new_in_some_beta", "words": "Hi"}, [Text('{"type":"new_in_some_beta","words":"Hi"}')]),
    ],
)
def test_a_block(block: dict[str, Any], blocks: list[Block]) -> None:
    assert list(build_blocks([block], "p", MediaReader(1000))) == blocks


def test_a_string_is_a_text_and_nothing_is_nothing() -> None:
    assert build_blocks("Hi", "p", MediaReader(0)) == (Text("Hi"),)
    assert build_blocks(None, "p", MediaReader(0)) == build_blocks("", "p", MediaReader(0)) == ()
