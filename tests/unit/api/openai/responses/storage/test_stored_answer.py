import json
from typing import Any

import pytest

from oaicompat_proxy.api.openai.responses.storage.stored_answer import (
    EARLIER_ITEMS,
    MAX_STORED,
    Earlier,
    encode_input,
    expand,
    find_references,
    input_entry,
    output_entries,
)
from oaicompat_proxy.api.protocol import ParsedBody
from oaicompat_proxy.core.errors import InvalidRequest

USER = {"role": "user", "content": "hi"}
SAID = {
    "id": "msg_a10000",
    "type": "message",
    "role": "assistant",
    "content": [{"type": "output_text", "text": "Hello"}],
}
ASKED = {"id": "mcpr_x", "type": "mcp_approval_request", "server_label": "owl", "name": "tide", "arguments": "{}"}
BODY = json.dumps({"id": "resp_a1", "status": "completed", "output": [SAID, ASKED]}).encode()
STORED = {
    **input_entry("resp_a1", json.dumps([USER]).encode()),
    **output_entries("resp_a1", BODY, [(item["id"], json.dumps(item).encode()) for item in (SAID, ASKED)]),
}


def reference(item_id: str) -> dict[str, Any]:
    return {"type": "item_reference", "id": item_id}


def expanded(stored: Any = None, **members: Any) -> dict[str, Any]:
    names = find_references(members)
    found = {name: value for name, value in (STORED if stored is None else stored).items() if name in names}
    return expand(ParsedBody(members, {}, 100), found).members


def fault_of(**members: Any) -> tuple[int, str | None, str | None]:
    with pytest.raises(InvalidRequest) as caught:
        expanded(**members)
    return caught.value.status, caught.value.param, caught.value.code


def test_nothing_is_looked_for_without_a_reference() -> None:
    for members in ({}, {"input": "hi"}, {"input": [USER, 1, {"type": "item_reference"}]}, {"previous_response_id": 1}):
        assert find_references(members) == frozenset()


def test_an_item_stands_in_place_of_its_reference() -> None:
    assert expanded(input=[USER, reference("msg_a10000"), {"id": "mcpr_x"}])["input"] == [USER, SAID, ASKED]


def test_the_previous_response_stands_in_front() -> None:
    members = expanded(input="Again", previous_response_id="resp_a1")
    assert members["input"] == [USER, SAID, ASKED, {"role": "user", "content": "Again"}]
    assert members[EARLIER_ITEMS] == Earlier(3, point="resp_a1")
    assert expanded(input=[USER], previous_response_id="resp_a1")["input"][-1] == USER


def test_what_is_unknown_is_refused_in_the_services_words() -> None:
    assert fault_of(input=[USER, reference("msg_b20000")]) == (404, "input[1].id", None)
    assert fault_of(input=[reference("msg_a10009")]) == (404, "input[0].id", None)
    unknown = (400, "previous_response_id", "previous_response_not_found")
    assert fault_of(input="hi", previous_response_id="resp_b2") == unknown
    assert fault_of(input="hi", previous_response_id="") == unknown


def test_an_input_that_was_too_long_is_no_previous_response() -> None:
    stored = {"resp_a1": STORED["resp_a1"]}
    with pytest.raises(InvalidRequest):
        expanded(stored, input="hi", previous_response_id="resp_a1")
    assert expanded(stored, input=[reference("msg_a10000")])["input"] == [SAID]


def test_a_bad_input_is_left_for_the_check() -> None:
    assert expanded(input=1, previous_response_id="resp_a1")["input"] == 1


def test_what_is_put_in_counts() -> None:
    members = {"input": [reference("msg_a10000")] * 10, "previous_response_id": "resp_a1"}
    assert expand(ParsedBody(members, {}, 100), STORED).size > 100 + 10 * 90 + sum(map(len, STORED.values())) // 2


def test_what_is_stored() -> None:
    assert json.loads(encode_input({"input": "hi"}, 10)) == [{"role": "user", "content": "hi"}]
    assert json.loads(encode_input({"input": [USER], "store": True}, 10)) == [USER]
    assert encode_input({"input": [USER], "store": False}, 10) == b""
    assert encode_input({"input": [USER]}, MAX_STORED + 1) == b""
    assert input_entry("resp_a1", b"") == {}
    assert output_entries("resp_a1", b"x" * (MAX_STORED + 1), []) == {}


def test_an_answer_that_is_still_made_is_no_previous_response() -> None:
    made = json.dumps({"id": "resp_a1", "status": "in_progress", "output": []}).encode()
    with pytest.raises(InvalidRequest) as caught:
        expanded({**STORED, "resp_a1": made}, input="hi", previous_response_id="resp_a1")
    assert caught.value.code == "previous_response_not_finished"


def test_an_input_item_stands_in_place_of_its_reference() -> None:
    stored = {"resp_a1/input": STORED["resp_a1/input"]}
    (item,) = expanded(stored, input=[reference("msg_ina10000")])["input"]
    assert item["content"] == [{"type": "input_text", "text": "hi"}]
