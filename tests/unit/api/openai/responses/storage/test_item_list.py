import json
from typing import Any

import pytest

from oaicompat_proxy.api.openai.responses.storage.item_list import DEFAULT, complete_item, encode_page
from oaicompat_proxy.core.errors import InvalidRequest

ITEMS = [{"id": f"msg_{number}"} for number in range(50)]


def page(**query: str) -> Any:
    return json.loads(encode_page(ITEMS, query))


def test_the_newest_come_first() -> None:
    shown = page()
    assert [item["id"] for item in shown["data"]] == [f"msg_{number}" for number in range(49, 49 - DEFAULT, -1)]
    assert (shown["first_id"], shown["last_id"], shown["has_more"]) == ("msg_49", "msg_30", True)


def test_pages_follow_each_other() -> None:
    seen: list[str] = []
    shown = page(order="asc", limit="20")
    while True:
        seen += [item["id"] for item in shown["data"]]
        if not shown["has_more"]:
            break
        shown = page(order="asc", limit="20", after=shown["last_id"])
    assert seen == [item["id"] for item in ITEMS]


def test_an_empty_page() -> None:
    assert json.loads(encode_page([], {})) == {
        "object": "list",
        "data": [],
        "first_id": "",
        "last_id": "",
        "has_more": False,
    }


@pytest.mark.parametrize(
    "query", [{"limit": "0"}, {"limit": "²"}, {"limit": "1" * 5000}, {"order": ""}, {"after": "x"}]
)
def test_faults_name_their_parameter(query: dict[str, str]) -> None:
    with pytest.raises(InvalidRequest) as caught:
        encode_page(ITEMS, query)
    assert caught.value.param == next(iter(query))
    assert len(caught.value.message) < 500


def test_an_item_gets_what_it_lacks() -> None:
    assert complete_item({"role": "user", "content": "Hi"}, "in1") == {
        "type": "message",
        "id": "msg_in1",
        "role": "user",
        "content": [{"type": "input_text", "text": "Hi"}],
        "status": "completed",
    }
    item = complete_item({"role": "assistant", "content": "Hi"}, "in1")
    assert item["content"] == [{"type": "output_text", "text": "Hi", "annotations": [], "logprobs": []}]
    call = {"type": "function_call", "call_id": "c", "name": "ls", "arguments": "{}"}
    assert complete_item(call, "in2") == {**call, "id": "fc_in2", "status": "completed"}
    own = {"type": "reasoning", "id": "rs_7", "summary": []}
    assert complete_item(own, "in3") == own
