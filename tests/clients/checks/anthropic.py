"""What Anthropic's official client shows."""

from importlib.metadata import version as version_of

from anthropic import AnthropicError
from recipe import client
from showing import show, stopped, weather

SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
WEATHER = {"name": "weather", "input_schema": SCHEMA}


def user(content):
    return {"role": "user", "content": content}


def create(*messages, model="demo", **more):
    asked = [user(each) if isinstance(each, str) else each for each in messages]
    return client.messages.create(model=model, max_tokens=1000, messages=asked, **more)


def text(message):
    return "".join(block.text for block in message.content if block.type == "text")


def deltas(question):
    for event in create(question, stream=True):
        if event.type == "content_block_delta" and event.delta.type == "text_delta":
            yield event.delta.text


def version():
    return version_of("anthropic")


def plain():
    return text(create("Hello"))


def streaming():
    return list(deltas("Hello"))


def helper():
    with client.messages.stream(model="demo", max_tokens=1000, messages=[user("Hello")]) as stream:
        return "".join(stream.text_stream), stream.get_final_text()


def tools():
    question = "What is the weather in Paris?"
    asked = create(question, tools=[WEATHER])
    (call,) = (block for block in asked.content if block.type == "tool_use")
    result = {"type": "tool_result", "tool_use_id": call.id, "content": weather(**call.input)}
    answer = {"role": "assistant", "content": asked.content}
    return text(create(question, answer, user([result]), tools=[WEATHER]))


def agent_tool():
    asked = [user("Add 19 and 23")]
    message = client.beta.messages.create(model="demo", max_tokens=1000, messages=asked)
    (call,) = (block for block in message.content if block.type == "mcp_tool_use")
    (result,) = (block for block in message.content if block.type == "mcp_tool_result")
    assert result.tool_use_id == call.id
    return call.name, result.content[0].text, text(message)


def second_turn():
    first = create("When is high tide?", model="echo")
    answer = {"role": "assistant", "content": first.content}
    return text(create("When is high tide?", answer, "And low tide?", model="echo"))


def reasoning():
    message = create("[[scenario:reasoning]]")
    return "".join(block.thinking for block in message.content if block.type == "thinking")


def error():
    answer = ""
    try:
        for delta in deltas("[[scenario:fail]]"):
            answer += delta
    except AnthropicError as failed:
        return answer, str(failed)


def refusal():
    try:
        create("[[scenario:fail_start]]")
    except AnthropicError as failed:
        return str(failed)


async def cancel():
    answer = ""
    asked = [user("[[scenario:slow]]")]
    with client.messages.stream(model="demo", max_tokens=1000, messages=asked) as stream:
        for delta in stream.text_stream:
            answer += delta
            if "am" in answer:
                break
    return await stopped(answer)


show(version, plain, streaming, helper, tools, agent_tool, second_turn, reasoning, error, refusal, cancel)
