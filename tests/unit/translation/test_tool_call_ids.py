"""Ids of tool calls: those that every client takes stay, the others get short ones that lead back."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oaicompat_proxy.core.message import Message, Text, ToolCall
from oaicompat_proxy.core.signing import Secrets, SigningKeys
from oaicompat_proxy.translation.tool_call_ids import belongs, is_fit, restore_ids, short_ids, shorten

KEYS = SigningKeys(Secrets([b"secret"]))
LONG = "call_" + "x" * 60
ODD = "functions.tide:0"


@pytest.mark.parametrize(
    "call_id", ["c1", "call_abc1", "toolu_01A-b", "x" * 40, "8f14e45f-ceea-467a-9575-6f3b4f5c2d10"]
)
def test_what_every_client_takes_stays(call_id: str) -> None:
    assert is_fit(call_id)


@pytest.mark.parametrize(
    "call_id", ["", "x" * 41, ODD, "caf\u00e9", "a b", "x\n", "oc_1", "confirm_1", "\ud800", "\u0663"]
)
def test_what_some_refuse_does_not(call_id: str) -> None:
    assert not is_fit(call_id)


@given(st.text(), st.text(), st.text(), st.text())
def test_a_short_one_belongs_to_one_id_of_one_caller(call_id: str, scope: str, other: str, other_scope: str) -> None:
    short = shorten(call_id, KEYS, scope)
    assert re.fullmatch(r"[A-Za-z0-9_-]{1,40}", short)
    assert belongs(short, call_id, KEYS, scope)
    assert belongs(short, other, KEYS, other_scope) == ((call_id, scope) == (other, other_scope))
    assert shorten(call_id, KEYS, scope) == short, "the same call has the same id each time"


def test_it_is_found_in_a_conversation_and_put_back() -> None:
    long, odd = shorten(LONG, KEYS, "ada"), shorten(ODD, KEYS, "ada")
    call = Message("assistant", (), tool_calls=(ToolCall(long, "tide", "{}"), ToolCall("c1", "tide", "{}")))
    result = Message("tool", (Text("06:12"),), tool_call_id=odd)
    other = Message("tool", (Text("06:13"),), tool_call_id="c1")
    request = Message("user", (Text(long),))
    messages = [request, call, result, other, Message("tool", (), tool_call_id="oc_short")]
    assert short_ids(messages) == [long, odd]
    restored = restore_ids(messages, {long: LONG, odd: ODD})
    assert [each.id for each in restored[1].tool_calls] == [LONG, "c1"]
    assert [each.tool_call_id for each in restored] == [None, None, ODD, "c1", "oc_short"]
    assert restored[0] == request
