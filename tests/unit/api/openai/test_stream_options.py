import pytest

from oaicompat_proxy.api.openai.stream_options import parse_streaming
from oaicompat_proxy.core.errors import InvalidRequest


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({}, (False, False)),
        ({"stream": None, "stream_options": None}, (False, False)),
        ({"stream": False}, (False, False)),
        ({"stream": True}, (True, False)),
        ({"stream": True, "stream_options": None}, (True, False)),
        ({"stream": True, "stream_options": {}}, (True, False)),
        ({"stream": True, "stream_options": {"include_usage": None}}, (True, False)),
        ({"stream": True, "stream_options": {"include_usage": False}}, (True, False)),
        ({"stream": True, "stream_options": {"include_usage": True}}, (True, True)),
        ({"stream": True, "stream_options": {"include_obfuscation": True}}, (True, False)),
    ],
)
def test_streaming_and_usage(body, expected):
    assert parse_streaming(body) == expected


@pytest.mark.parametrize("stream", [{}, {"stream": None}, {"stream": False}])
@pytest.mark.parametrize("options", [{}, {"include_usage": True}])
def test_options_without_a_stream_are_refused(stream, options):
    with pytest.raises(InvalidRequest) as caught:
        parse_streaming({**stream, "stream_options": options})
    assert caught.value.param == "stream_options"
    assert caught.value.code is None
    assert "only allowed when 'stream' is enabled" in caught.value.message
