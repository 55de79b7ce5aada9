from typing import Any

from oaicompat_proxy.api.openai.responses.request.encrypted_content import MAX_TOKEN, find_token


def reasoning(content: Any) -> dict[str, Any]:
    return {"type": "reasoning", "summary": [], "encrypted_content": content}


def test_the_newest_one_counts() -> None:
    user = {"role": "user", "content": "Hi"}
    assert find_token([reasoning("a"), user, reasoning("b"), user]) == "b"
    assert find_token([reasoning("a"), reasoning(None), user]) == ""
    assert find_token([reasoning("a"), reasoning("x" * (MAX_TOKEN + 1))]) == ""
    assert find_token([reasoning(["a"])]) == find_token([user]) == find_token("Hi") == ""
