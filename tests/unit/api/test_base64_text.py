"""Which base64 text is accepted, and what becomes of it."""

import base64
import binascii
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oaicompat_proxy.api.base64_text import decoded_size, normalize


@given(st.binary())
def test_text_in_its_standard_form_stays_as_it_is(content: bytes) -> None:
    text = base64.b64encode(content).decode()
    assert normalize(text) is text
    assert decoded_size(text) == len(content)


@pytest.mark.parametrize(
    ("text", "normalized"),
    [("QQ", "QQ=="), ("QUI", "QUI="), ("QU\r\n JD", "QUJD"), ("Q\tQ=\x0b=\x0c", "QQ=="), ("  ", "")],
)
def test_padding_is_added_and_white_space_removed(text: str, normalized: str) -> None:
    assert normalize(text) == normalized


@pytest.mark.parametrize("text", ["Q", "QUJ$", "QUJDé", "QU-_", "QQ==QQ==", "====", "Q=Q=", "QQ=\xa0="])
def test_other_text_is_an_error(text: str) -> None:
    with pytest.raises((binascii.Error, UnicodeEncodeError)):
        normalize(text)


def test_a_large_text_is_not_copied() -> None:
    """The check itself takes the decoded content, three quarters of the text."""
    text = "QUJD" * 250_000
    tracemalloc.start()
    normalize(text)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < len(text)
