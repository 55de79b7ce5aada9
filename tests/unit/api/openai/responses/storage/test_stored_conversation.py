from typing import Any

import orjson
import pytest

from oaicompat_proxy.api.openai.responses.storage.stored_conversation import (
    encode_object,
    find_item,
    new_conversation,
    read_conversation,
    with_items,
    with_metadata,
    with_turn,
    without_item,
)
from oaicompat_proxy.core.errors import InvalidRequest, NotFound

NAME = "conv_a1"
USER = {"role": "user", "content": "Hi"}
SAID = {"id": "msg_r10000", "type": "message", "role": "assistant", "status": "completed", "content": []}


def read(encoded: bytes) -> dict[str, Any]:
    return read_conversation(NAME, {NAME: encoded})


def new(*items: Any) -> dict[str, Any]:
    return read(new_conversation(NAME, 17, {"a": "b"}, items))


def ids(conversation: dict[str, Any]) -> list[str]:
    return [item["id"] for item in conversation["items"]]


def test_an_item_without_an_id_gets_one_that_names_the_conversation() -> None:
    assert ids(new(USER, SAID, USER)) == ["msg_cva10000", "msg_r10000", "msg_cva10002"]


def test_no_id_is_given_twice() -> None:
    conversation = new(USER, USER)
    again = read(without_item(conversation, "msg_cva10001"))
    added = read(with_items(again, [{**USER, "id": "msg_cva10000"}, {**USER, "id": "msg_cva10004"}, USER, USER])[0])
    assert len({*ids(added)}) == len(added["items"]) == 5


def test_it_ends_with_an_answer_until_something_else_is_said() -> None:
    conversation = new(USER)
    answered = read(with_turn(conversation, [USER, SAID], version=conversation["version"], answer_id="resp_1"))
    assert answered["point"] == "resp_1"
    assert read(with_metadata(answered, {}))["point"] == "resp_1"
    assert read(with_items(dict(answered), [USER])[0])["point"] == ""
    assert read(without_item(dict(answered), "msg_cva10000"))["point"] == ""
    late = with_turn(dict(answered), [USER], version=conversation["version"], answer_id="resp_2")
    assert read(late)["point"] == ""


def test_clients_see_no_more_than_the_service_shows() -> None:
    shown = {"id": NAME, "object": "conversation", "created_at": 17, "metadata": {"a": "b"}}
    assert orjson.loads(encode_object(new(USER))) == shown


def test_what_is_unknown_is_not_found() -> None:
    with pytest.raises(NotFound):
        read_conversation("conv_b", {})
    with pytest.raises(NotFound):
        read_conversation("resp_1", {"resp_1": b"{}"})
    with pytest.raises(NotFound):
        find_item(new(USER), "msg_x")


def test_its_size_is_bounded() -> None:
    long = {"role": "user", "content": "x" * 1_100_000}
    conversation = new(long)
    with pytest.raises(InvalidRequest):
        with_items(conversation, [long])
    with pytest.raises(InvalidRequest):
        new(long, long)
