from contextlib import suppress

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from oaicompat_proxy.api.openai.completions.api import COMPLETIONS
from oaicompat_proxy.core.errors import InvalidRequest
from oaicompat_proxy.core.message import Message, Text
from oaicompat_proxy.core.request import AgentRequest, RequestLimits

LIMITS = RequestLimits(media=0, messages=1)


def parse(body):
    return COMPLETIONS.build_request(COMPLETIONS.read(orjson.dumps(body), LIMITS), LIMITS)


def test_minimal_request():
    assert parse({"prompt": "Owls"}) == AgentRequest(
        model="",
        messages=(Message("user", (Text("Owls"),)),),
        stream=False,
        tool_names=frozenset(),
        parameters={},
        metadata_key="openai",
        form={"include_usage": False, "echo": ""},
        conversational=False,
    )


def test_full_request():
    body = {
        "model": "owl",
        "prompt": ["Owls"],
        "stream": True,
        "stream_options": {"include_usage": True},
        "echo": True,
        "n": 1,
        "best_of": 1,
        "suffix": "",
        "logprobs": None,
        "max_tokens": 16,
        "stop": ["a", "b"],
        "temperature": 0,
        "min_p": 0.1,
    }
    assert parse(body) == AgentRequest(
        model="owl",
        messages=(Message("user", (Text("Owls"),)),),
        stream=True,
        tool_names=frozenset(),
        parameters={"max_tokens": 16, "stop": ["a", "b"], "temperature": 0, "min_p": 0.1},
        metadata_key="openai",
        form={"include_usage": True, "echo": "Owls"},
        conversational=False,
    )


@pytest.mark.parametrize(
    ("fields", "param", "code"),
    [
        ({"prompt": None}, "prompt", "invalid_type"),
        ({"prompt": 5}, "prompt", "invalid_type"),
        ({"prompt": []}, "prompt", "empty_array"),
        ({"prompt": ["a", "b"]}, "prompt", "unsupported_value"),
        ({"prompt": [1, 2]}, "prompt", "unsupported_value"),
        ({"prompt": [[1, 2]]}, "prompt", "unsupported_value"),
        ({"prompt": [True]}, "prompt[0]", "invalid_type"),
        ({"prompt": [None]}, "prompt[0]", "invalid_type"),
        ({"prompt": [{}]}, "prompt[0]", "invalid_type"),
        ({"model": 5}, "model", "invalid_type"),
        ({"n": 2}, "n", "unsupported_value"),
        ({"n": 129}, "n", "unsupported_value"),
        ({"best_of": 2}, "best_of", "unsupported_value"),
        ({"best_of": 21}, "best_of", "unsupported_value"),
        ({"logprobs": 3}, "logprobs", "unsupported_parameter"),
        ({"logprobs": 6}, "logprobs", "unsupported_parameter"),
        ({"suffix": "end"}, "suffix", "unsupported_parameter"),
        ({"echo": 1}, "echo", "invalid_type"),
        ({"temperature": -0.5}, "temperature", "decimal_below_min_value"),
        ({"stream_options": {}}, "stream_options", None),
    ],
)
def test_faults_name_the_field(fields, param, code):
    with pytest.raises(InvalidRequest) as caught:
        parse({"prompt": "Owls"} | fields)
    assert (caught.value.param, caught.value.code) == (param, code)


def test_prompt_is_required():
    with pytest.raises(InvalidRequest) as caught:
        parse({"model": "owl"})
    assert (caught.value.param, caught.value.code) == ("prompt", "missing_required_parameter")


TEXT = st.text("aé😀\x00| ")
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)
FIELDS = st.sampled_from(
    ["prompt", "model", "stream", "stream_options", "n", "best_of", "echo", "logprobs", "suffix", "stop"]
)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(FIELDS, JSON))
def test_anything_parses_or_is_refused(body):
    with suppress(InvalidRequest):
        assert isinstance(parse({"prompt": "x"} | body), AgentRequest)
