"""The conversation that an agent gets: what the user asks stands last, and nothing is lost."""

import json
from typing import Any

from oaicompat_proxy.api.anthropic.request.conversation import FAILED
from oaicompat_proxy.core.message import Message, Text, ToolCall
from tests.support.message_parts import request
from tests.support.parsing import parse_messages

REMINDER = "<system-reminder>\nToday is Sunday.\n</system-reminder>"
CALL = {"type": "tool_use", "id": "c1", "name": "tide", "input": {"port": "Brest"}}


def text(words: str, **fields: Any) -> dict[str, Any]:
    return {"type": "text", "text": words, **fields}


def user(*content: Any) -> dict[str, Any]:
    return {"role": "user", "content": content[0] if isinstance(content[0], str) else list(content)}


def assistant(*content: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": content[0] if isinstance(content[0], str) else list(content)}


def system(words: str) -> dict[str, Any]:
    return {"role": "system", "content": words}


def result(words: Any = "06:12", call: str = "c1", **fields: Any) -> dict[str, Any]:
    return {"type": "tool_result", "tool_use_id": call, "content": words, **fields}


def messages(*asked: dict[str, Any], **fields: Any) -> list[Message]:
    return list(parse_messages(request(*asked, **fields), max_media=1000, max_messages=50).messages)


def roles_and_texts(*asked: dict[str, Any], **fields: Any) -> list[tuple[str, str]]:
    return [(each.role, "|".join(block.text for block in each.blocks)) for each in messages(*asked, **fields)]  # type: ignore[union-attr]


def test_system_as_text_and_as_blocks() -> None:
    for prompt in ("Be brief.", [text("Be brief.")]):
        assert roles_and_texts(user("Hi"), system=prompt) == [("system", "Be brief."), ("user", "Hi")]


def test_a_system_block_that_is_no_text_is_shown_as_written() -> None:
    odd = {"type": "image", "source": {"type": "text"}}
    written = '{"type":"image","source":{"type":"text"}}'
    assert roles_and_texts({"role": "system", "content": [odd]}, user("Hi"), system=[odd]) == [
        *(("system", written), ("system", written), ("user", "Hi"))
    ]


def test_what_is_for_the_service_alone_is_left_out() -> None:
    prompt = [text("x-anthropic-billing-header: cc_version=2"), text("Be brief.")]
    assert roles_and_texts(user("Hi"), system=prompt)[0] == ("system", "Be brief.")


def test_the_form_of_a_message_changes_nothing() -> None:
    plain = messages(user("Hi"), assistant("Hello"), user("Bye"))
    blocks = messages(
        user(text("Hi", cache_control={"type": "ephemeral"})), assistant(text("Hello")), user(text("Bye"))
    )
    assert plain == blocks


def test_messages_of_the_systems_come_before_the_users_words() -> None:
    assert roles_and_texts(user("Hi"), system("Environment"), system("Helpers")) == [
        *(("system", "Environment"), ("system", "Helpers"), ("user", "Hi"))
    ]
    assert roles_and_texts(user("Hi"), system("Env"), assistant("Hello"), user("Bye"), system("New")) == [
        *(("system", "Env"), ("user", "Hi"), ("assistant", "Hello"), ("system", "New"), ("user", "Bye"))
    ]
    assert roles_and_texts(system("First"), user("Hi")) == [("system", "First"), ("user", "Hi")]


def test_reminders_come_before_the_users_words() -> None:
    for content in ([text(REMINDER), text("Hi")], [text("Hi"), text(REMINDER)]):
        assert roles_and_texts(user(*content)) == [("user", REMINDER), ("user", "Hi")]


def test_words_that_only_quote_a_reminder_are_words() -> None:
    assert roles_and_texts(user(text(f"What is {REMINDER}?"))) == [("user", f"What is {REMINDER}?")]
    both = f"{REMINDER} Ignore it. {REMINDER}"
    assert roles_and_texts(user(text(both))) == [("user", both)]


def test_a_reminder_alone_is_asked() -> None:
    assert roles_and_texts(user(text(REMINDER))) == [("user", REMINDER)]


def test_tools_in_two_rounds() -> None:
    other = {**CALL, "id": "c2", "name": "moon", "input": {}}
    asked = [user("When?"), assistant(text("Look."), CALL, other), user(result(), result([text("full")], "c2"))]
    _, called, first, second = messages(*asked)
    assert called.tool_calls == (ToolCall("c1", "tide", '{"port":"Brest"}'), ToolCall("c2", "moon", "{}"))
    assert called.blocks == (Text("Look."),)
    assert first == Message("tool", (Text("06:12"),), None, (), "c1")
    assert second == Message("tool", (Text("full"),), None, (), "c2")


def test_a_failed_tool_is_marked_and_words_behind_results_are_asked() -> None:
    asked = [user("When?"), assistant(CALL), user(result("no port", is_error=True), text("Then try Nantes."))]
    assert roles_and_texts(*asked)[2:] == [("tool", f"{FAILED}|no port"), ("user", "Then try Nantes.")]


def test_a_reminder_behind_results_is_part_of_the_last_one() -> None:
    asked = [user("When?"), assistant(CALL), user(result(), text(REMINDER))]
    assert roles_and_texts(*asked)[2:] == [("tool", f"06:12|{REMINDER}")]
    assert roles_and_texts(*asked, system("Mode"))[2:] == [("tool", f"06:12|{REMINDER}"), ("system", "Mode")]


def test_what_only_an_answer_has_is_not_shown_again() -> None:
    own = [
        {"type": "thinking", "thinking": "Hm", "signature": "s"},
        {"type": "redacted_thinking", "data": "x"},
        {"type": "mcp_tool_use", "id": "m1", "name": "tide", "server_name": "owl", "input": {}},
        {"type": "mcp_tool_result", "tool_use_id": "m1", "is_error": False, "content": "06:12"},
        {"type": "server_tool_use", "id": "s1", "name": "web_search", "input": {}},
        {"type": "web_search_tool_result", "tool_use_id": "s1", "content": []},
    ]
    assert roles_and_texts(user("Hi"), assistant(*own, text("At six.")), user("Bye"))[1] == ("assistant", "At six.")


def test_two_messages_of_one_role_stay_two() -> None:
    assert roles_and_texts(user("Hi"), user("Are you there?")) == [("user", "Hi"), ("user", "Are you there?")]


def test_the_rest_of_the_request_is_passed_on() -> None:
    fields = {"context_management": {"edits": []}, "thinking": {"type": "adaptive"}, "temperature": 1, "top_k": None}
    asked = parse_messages(request(**fields), max_media=0, max_messages=9)
    assert json.loads(json.dumps(asked.parameters)) == {
        "max_tokens": 100,
        "context_management": {"edits": []},
        "thinking": {"type": "adaptive"},
        "temperature": 1,
    }
    assert (asked.metadata_key, asked.model, asked.stream) == ("anthropic", "owl", False)
