"""The contents of a message: last words, declared tools, results."""

from typing import Any

import pytest

from oaicompat_proxy.demo.prompt import read_prompt

TRANSCRIPT = """=== Conversation so far: 3 messages. Quoted lines are theirs; follow what the system says. ===
[1] user
> How is the weather?
[2] assistant called tool forecast as call_1 with
> {"city":"Paris"}
[3] result of tool call call_1
> sunny,
> 21 degrees
=== End of the conversation so far. Continue it as the assistant. ==="""


def message(*texts: str, **metadata: Any) -> dict[str, Any]:
    content = [{"type": "text", "text": text} for text in texts]
    return {"role": "user", "content": content, "metadata": metadata}


def test_the_last_text_block_is_the_last_word() -> None:
    prompt = read_prompt(message("earlier", "now"))
    assert (prompt.last, prompt.whole) == ("now", "earlier\nnow")


def test_other_blocks_are_not_the_last_word() -> None:
    text = message("look")
    text["content"].append({"type": "image", "source": {"type": "url", "url": "http://x/é"}})
    prompt = read_prompt(text)
    assert prompt.last == "look"
    assert prompt.whole.endswith('"http://x/é"}}')


def test_of_several_messages_the_last_is_the_news() -> None:
    prompt = read_prompt(message("first"), {"role": "assistant", "content": [{"type": "text", "text": "a"}]})
    assert (prompt.last, prompt.whole) == ("a", "first\na")
    assert read_prompt().last == ""


def test_all_results_at_the_end_are_the_news() -> None:
    results = [
        {"role": "tool", "content": [{"type": "tool_result", "toolUseId": name, "content": [{"text": name}]}]}
        for name in ("sunny", "windy")
    ]
    assert read_prompt(message("weather?"), *results).result == "sunny\nwindy"
    assert read_prompt(*results, message("and now?")).result is None


def test_parameters_may_stand_beside_the_messages() -> None:
    assert read_prompt(message("x"), metadata={"openai": {"tool_choice": "none"}}).choice == "none"


@pytest.mark.parametrize("odd", [{}, {"content": []}, {"content": [{}], "metadata": "x"}])
def test_odd_messages_say_nothing(odd: dict[str, Any]) -> None:
    assert read_prompt(odd).last == ""


def test_the_tag_of_the_last_word_counts() -> None:
    prompt = read_prompt(message("[[scenario:fail]]", "[[scenario:slow]] and [[scenario:tool]]"))
    assert prompt.tag == "tool"


def test_declared_tools() -> None:
    function = {"name": "f", "description": "d", "parameters": {"type": "object"}}
    prompt = read_prompt(message("x", openai={"tools": [{"type": "function", "function": function}, 1]}))
    assert [(tool.name, tool.description, tool.client) for tool in prompt.tools] == [("f", "d", True)]


@pytest.mark.parametrize(
    ("choice", "read"),
    [
        ("none", "none"),
        ("required", "required"),
        ({"type": "function", "function": {"name": "f"}}, "f"),
        ({"type": "function", "name": "g"}, "g"),
        ({}, "auto"),
        (None, "auto"),
    ],
)
def test_tool_choice(choice: Any, read: str) -> None:
    assert read_prompt(message("x", openai={"tool_choice": choice})).choice == read


def test_a_transcript_that_ends_with_a_result_is_news() -> None:
    prompt = read_prompt(message(TRANSCRIPT))
    assert prompt.result == prompt.last == "sunny,\n21 degrees"


def test_parallel_results_are_all_news() -> None:
    second = TRANSCRIPT.replace("=== End", "[4] result of tool call call_2\n> windy\n=== End")
    assert read_prompt(message(second)).result == "sunny,\n21 degrees\nwindy"


def test_a_result_with_a_picture_between_its_lines() -> None:
    head, tail = TRANSCRIPT.split("\n=== End")
    prompt = message(head, "=== End" + tail)
    prompt["content"].insert(1, {"type": "image", "source": {}})
    assert read_prompt(prompt).result == "sunny,\n21 degrees"


def test_a_result_that_was_talked_about_is_not_news() -> None:
    assert read_prompt(message(TRANSCRIPT, "And tomorrow?")).result is None


def test_a_native_result_block() -> None:
    block = {"type": "tool_result", "toolUseId": "c", "content": [{"type": "text", "text": "sunny"}]}
    assert read_prompt({"content": [block]}).result == "sunny"


def test_marks_in_an_ordinary_text_are_text() -> None:
    prompt = read_prompt(message("[1] result of tool call x\n> no"))
    assert prompt.result is None


@pytest.mark.parametrize(
    ("choice", "read"),
    [
        ({"type": "auto"}, "auto"),
        ({"type": "any"}, "required"),
        ({"type": "none"}, "none"),
        ({"type": "tool", "name": "a"}, "a"),
    ],
)
def test_tools_as_anthropics_clients_declare_them(choice: Any, read: str) -> None:
    schema = {"type": "object", "properties": {"city": {"type": "string"}}}
    tools = [{"name": "a", "input_schema": schema}, {"type": "custom", "name": "b", "input_schema": {}}]
    prompt = read_prompt(message("x", anthropic={"tools": tools, "tool_choice": choice}))
    assert ([tool.name for tool in prompt.tools], prompt.tools[0].schema) == (["a", "b"], schema)
    assert prompt.choice == read
