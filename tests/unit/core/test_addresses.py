"""The origin of a request: headers of trusted proxies count, headers of others do not."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oaicompat_proxy.core.addresses import client_address, is_loopback, parse_networks

OURS = parse_networks(["127.0.0.0/8", "::1", "10.0.0.0/8", "fd00::/8"])

CHAINS = [
    # peer, X-Forwarded-For, client
    ("192.0.2.1", "", "192.0.2.1"),
    ("192.0.2.1", "203.0.113.9", "192.0.2.1"),
    ("127.0.0.1", "", "127.0.0.1"),
    ("127.0.0.1", "203.0.113.9", "203.0.113.9"),
    ("127.0.0.1", "198.51.100.7, 203.0.113.9", "203.0.113.9"),
    ("127.0.0.1", "198.51.100.7, 203.0.113.9, 10.1.2.3", "203.0.113.9"),
    ("127.0.0.1", "10.9.9.9, 203.0.113.9", "203.0.113.9"),
    ("127.0.0.1", "10.9.9.9, 10.1.2.3", "10.9.9.9"),
    ("127.0.0.1", "203.0.113.9 ,10.1.2.3", "203.0.113.9"),
    ("127.0.0.1", "203.0.113.9, unknown", "127.0.0.1"),
    ("127.0.0.1", "203.0.113.9, unknown, 10.1.2.3", "10.1.2.3"),
    ("127.0.0.1", "203.0.113.9,, 10.1.2.3", "10.1.2.3"),
    ("127.0.0.1", "203.0.113.9:4711", "203.0.113.9"),
    ("127.0.0.1", "2001:db8::1", "2001:db8::1"),
    ("127.0.0.1", "[2001:db8::1]:4711", "2001:db8::1"),
    ("127.0.0.1", "[2001:db8::1]", "2001:db8::1"),
    ("127.0.0.1", "2001:db8:0:0::1", "2001:db8::1"),
    ("127.0.0.1", "fe80::1%eth0", "fe80::1"),
    ("::1", "203.0.113.9, fd00::2", "203.0.113.9"),
    ("::ffff:127.0.0.1", "203.0.113.9", "203.0.113.9"),
    ("127.0.0.1", "203.0.113.9, ::ffff:10.1.2.3", "203.0.113.9"),
    ("127.0.0.1", "999.1.1.1", "127.0.0.1"),
    ("-", "203.0.113.9", "-"),
]


@pytest.mark.parametrize(("peer", "forwarded", "client"), CHAINS)
def test_the_client_is_the_last_address_that_is_no_proxy_of_ours(peer: str, forwarded: str, client: str) -> None:
    assert client_address(peer, forwarded, OURS) == client


def test_without_proxies_only_the_connection_counts() -> None:
    assert client_address("127.0.0.1", "203.0.113.9", ()) == "127.0.0.1"


@given(st.text(), st.sampled_from(["127.0.0.1", "192.0.2.1", "::1"]))
def test_whatever_is_sent_the_result_is_an_address_and_fits_in_a_line(forwarded: str, peer: str) -> None:
    assert re.fullmatch(r"[0-9a-f.:]+", client_address(peer, forwarded, OURS))


@given(st.lists(st.ip_addresses(v=4)), st.ip_addresses(v=4).filter(lambda each: each not in OURS[0]))
def test_what_a_client_says_of_itself_changes_nothing(headers: list[object], true: object) -> None:
    forwarded = ", ".join([*map(str, headers), str(true)])
    assert client_address("127.0.0.1", forwarded, parse_networks(["127.0.0.0/8"])) == str(true)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "::1", "localhost", "LOCALHOST", "::ffff:127.0.0.1"])
def test_only_this_machine_reaches_the_loopback(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize("host", ["", "0.0.0.0", "::", "192.0.2.1", "10.0.0.1", "proxy", "localhost.example", "127.1"])
def test_others_may_reach_everything_else(host: str) -> None:
    assert not is_loopback(host)


@pytest.mark.parametrize("text", ["", "nginx", "10.0.0.0/40", "10.0.0", "*"])
def test_a_network_is_written_as_such(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_networks([text])


def test_a_network_may_be_written_by_any_address_in_it() -> None:
    assert parse_networks(["10.1.2.3/8"]) == parse_networks(["10.0.0.0/8"])
