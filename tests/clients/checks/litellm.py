"""What LiteLLM shows."""

import json
from importlib.metadata import version as version_of

from litellm import completion
from recipe import agent
from showing import show, stopped, weather


def create(question, **more):
    return completion(**agent, messages=[{"role": "user", "content": question}], **more)


def version():
    return version_of("litellm")


def plain():
    return create("Hello").choices[0].message.content


def streaming():
    return [chunk.choices[0].delta.content or "" for chunk in create("Hello", stream=True)]


def tools():
    parameters = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
    tool = {"type": "function", "function": {"name": "weather", "parameters": parameters}}
    question = {"role": "user", "content": "What is the weather in Paris?"}
    asked = completion(**agent, messages=[question], tools=[tool]).choices[0].message
    (call,) = asked.tool_calls
    result = weather(**json.loads(call.function.arguments))
    messages = [question, asked, {"role": "tool", "tool_call_id": call.id, "content": result}]
    return completion(**agent, messages=messages, tools=[tool]).choices[0].message.content


def reasoning():
    return create("[[scenario:reasoning]]").choices[0].message.reasoning_content


def error():
    answer = ""
    try:
        for chunk in create("[[scenario:fail]]", stream=True):
            answer += chunk.choices[0].delta.content or ""
    except Exception as failed:
        return answer, str(failed)


def refusal():
    try:
        create("[[scenario:fail_start]]")
    except Exception as failed:
        return str(failed)


async def cancel():
    answer = ""
    stream = create("[[scenario:slow]]", stream=True)
    for chunk in stream:
        answer += chunk.choices[0].delta.content or ""
        if "am" in answer:
            break
    stream.completion_stream.close()
    return await stopped(answer)


show(version, plain, streaming, tools, reasoning, error, refusal, cancel)
