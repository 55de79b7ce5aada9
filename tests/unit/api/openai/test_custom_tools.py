"""The input of a custom tool is the text that the agent gave as its one argument."""

from __future__ import annotations

import json

import pytest

from oaicompat_proxy.api.openai.custom_tools import free_text, to_arguments


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ('{"input":"an \\"owl\\""}', 'an "owl"'),
        ('{"input":""}', ""),
        ("an owl", "an owl"),
        ('{"input":1}', '{"input":1}'),
        ('{"input":"x","y":1}', '{"input":"x","y":1}'),
        ("[" * 5000, "[" * 5000),
    ],
)
def test_the_text_stands_alone(arguments: str, text: str) -> None:
    assert free_text(arguments) == text


@pytest.mark.parametrize("text", ["", "an owl", 'an "owl"\n', "🦉", '{"input":"x"}'])
def test_the_arguments_have_the_text(text: str) -> None:
    assert json.loads(to_arguments(text)) == {"input": text}
    assert free_text(to_arguments(text)) == text
