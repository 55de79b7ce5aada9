"""Checks the results of the official client."""

import json
from importlib.metadata import version as version_of

from openai import OpenAIError
from recipe import client
from showing import show, stopped, weather


def create(question, **more):
    messages = [{"role": "user", "content": question}]
    return client.chat.completions.create(model="demo", messages=messages, **more)


def version():
    return version_of("openai")


def plain():
    return create("Hello").choices[0].message.content


def streaming():
    return [chunk.choices[0].delta.content or "" for chunk in create("Hello", stream=True)]


def tools():
    parameters = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
    tool = {"type": "function", "function": {"name": "weather", "parameters": parameters}}
    create = client.chat.completions.create
    question = {"role": "user", "content": "What is the weather in Paris?"}
    asked = create(model="demo", messages=[question], tools=[tool]).choices[0].message
    call = asked.tool_calls[0]
    result = weather(**json.loads(call.function.arguments))
    messages = [question, asked, {"role": "tool", "tool_call_id": call.id, "content": result}]
    return create(model="demo", messages=messages, tools=[tool]).choices[0].message.content


def reasoning():
    return create("[[scenario:reasoning]]").choices[0].message.reasoning_content


def error():
    answer = ""
    try:
        for chunk in create("[[scenario:fail]]", stream=True):
            answer += chunk.choices[0].delta.content or ""
    except OpenAIError as failed:
        return answer, str(failed)


def refusal():
    try:
        create("[[scenario:fail_start]]")
    except OpenAIError as failed:
        return str(failed)


async def cancel():
    answer = ""
    with create("[[scenario:slow]]", stream=True) as stream:
        for chunk in stream:
            answer += chunk.choices[0].delta.content or ""
            if "am" in answer:
                break
    return await stopped(answer)


show(version, plain, streaming, tools, reasoning, error, refusal, cancel)
