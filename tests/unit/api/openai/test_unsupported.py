import pytest

from oaicompat_proxy.api.openai.unsupported import IN_CHAT, IN_COMPLETION, IN_RESPONSES, refuse_unsupported
from oaicompat_proxy.core.errors import InvalidRequest

REFUSED = [
    (IN_CHAT, "n", 2, "unsupported_value"),
    (IN_CHAT, "logprobs", True, "unsupported_parameter"),
    (IN_CHAT, "top_logprobs", 1, "unsupported_parameter"),
    (IN_CHAT, "modalities", ["text", "audio"], "unsupported_value"),
    (IN_CHAT, "audio", {}, "unsupported_parameter"),
    (IN_CHAT, "moderation", {"model": "m"}, "unsupported_parameter"),
    (IN_COMPLETION, "n", 2, "unsupported_value"),
    (IN_COMPLETION, "best_of", 2, "unsupported_value"),
    (IN_COMPLETION, "logprobs", 0, "unsupported_parameter"),
    (IN_COMPLETION, "suffix", "end", "unsupported_parameter"),
]
FULFILLED = [
    (IN_CHAT, {"n": 1, "logprobs": False, "top_logprobs": 0, "modalities": ["text"]}),
    (IN_CHAT, dict.fromkeys(IN_CHAT)),
    (IN_CHAT, {"store": True, "prediction": {}, "web_search_options": {}}),
    (IN_COMPLETION, {"n": 1, "best_of": 1, "suffix": ""}),
    (IN_COMPLETION, {"best_of": 0}),
    (IN_COMPLETION, dict.fromkeys(IN_COMPLETION)),
]


@pytest.mark.parametrize(("table", "param", "value", "code"), REFUSED)
def test_what_a_run_cannot_give_is_refused_by_name(table, param, value, code):
    with pytest.raises(InvalidRequest) as caught:
        refuse_unsupported({param: value}, table)
    assert (caught.value.status, caught.value.param, caught.value.code) == (400, param, code)
    assert f"'{param}'" in caught.value.message
    assert "agent" in caught.value.message


def test_every_row_of_the_tables_is_tested():
    tested = {(id(table), param) for table, param, _, _ in REFUSED}
    assert tested == {(id(table), param) for table in (IN_CHAT, IN_COMPLETION) for param in table}


@pytest.mark.parametrize(("table", "body"), FULFILLED)
def test_what_happens_anyway_passes(table, body):
    refuse_unsupported(body, table)


@pytest.mark.parametrize("first", ["n", "logprobs"])
def test_the_first_in_the_document_is_named(first):
    body = {first: 2, "n": 2, "logprobs": True}
    with pytest.raises(InvalidRequest) as caught:
        refuse_unsupported(body, IN_CHAT)
    assert caught.value.param == first


@pytest.mark.parametrize(
    ("param", "value", "code"),
    [
        ("prompt", {"id": "pmpt_1"}, "unsupported_parameter"),
        ("top_logprobs", 1, "unsupported_parameter"),
        ("n", 2, "unsupported_value"),
    ],
)
def test_what_a_response_cannot_be(param, value, code):
    with pytest.raises(InvalidRequest) as caught:
        refuse_unsupported({"input": "hi", param: value}, IN_RESPONSES)
    assert (caught.value.param, caught.value.code) == (param, code)


@pytest.mark.parametrize(("param", "value"), [("background", False), ("prompt", None), ("top_logprobs", 0), ("n", 1)])
def test_what_asks_for_nothing_more_in_a_response(param, value):
    refuse_unsupported({"input": "hi", param: value}, IN_RESPONSES)
