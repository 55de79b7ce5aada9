"""Pictures and documents, by value and by address."""

import base64
from typing import Any

import pytest

from oaicompat_proxy.api.anthropic.request.media import MediaReader
from oaicompat_proxy.core.errors import InvalidRequest
from oaicompat_proxy.core.message import Media

DATA = base64.b64encode(b"not really a picture").decode()


def value(data: str = DATA) -> dict[str, Any]:
    return {"type": "base64", "media_type": "image/PNG", "data": data}


def test_by_value() -> None:
    reader = MediaReader(100)
    assert reader.read("image", value(DATA[:8] + "\n" + DATA[8:].rstrip("=")), "p") == Media(
        "image", data=DATA, mime_type="image/png"
    )
    assert reader.encoded == len(DATA.rstrip("=")) + 1


def test_by_address_and_by_id() -> None:
    reader = MediaReader(0)
    url = "https://tides.example/a.png"
    assert reader.read("image", {"type": "url", "url": url}, "p") == Media("image", url=url)
    assert reader.read("document", {"type": "file", "file_id": "file_1"}, "p", "a") == Media(
        "document", file_id="file_1", name="a"
    )


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (value("no base64!"), "p.data: Input should be base64-encoded data"),
        (value("äö"), "p.data: Input should be base64-encoded data"),
        (value(""), "p.data: the data is empty"),
        (
            value("QUJD" * 17),
            "p.data: the request's pictures and documents are too large; this server takes at most 50",
        ),
        ({"type": "url", "url": "file:///etc/passwd"}, "p.url: Input should be an http(s) URL"),
    ],
)
def test_what_cannot_be_read(source: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidRequest) as raised:
        MediaReader(50).read("image", source, "p")
    assert raised.value.message.startswith(message)
