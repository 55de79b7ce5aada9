from __future__ import annotations

import click
import pytest

from oaicompat_proxy.commands.url_option import BaseUrl, key_header


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("http://127.0.0.1:8700/v1", "http://127.0.0.1:8700/v1"),
        ("http://127.0.0.1:8700/v1/", "http://127.0.0.1:8700/v1"),
        ("http://127.0.0.1:8700", "http://127.0.0.1:8700/v1"),
        ("127.0.0.1:8700", "http://127.0.0.1:8700/v1"),
        ("https://api.example.com/agents/v1", "https://api.example.com/agents/v1"),
        ("http://[::1]:8700", "http://[::1]:8700/v1"),
    ],
)
def test_people_write_addresses_in_many_ways(written: str, meant: str) -> None:
    assert str(BaseUrl().convert(written, None, None)) == meant


@pytest.mark.parametrize("written", ["ftp://host", "http://", "http://host:port", "http://host/?a=b", ""])
def test_what_is_no_address_is_refused(written: str) -> None:
    with pytest.raises(click.BadParameter):
        BaseUrl().convert(written, None, None)


def test_a_key_is_sent_only_if_there_is_one() -> None:
    assert key_header("") == {}
    assert key_header("k") == {"Authorization": "Bearer k"}
