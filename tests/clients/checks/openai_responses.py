"""What the official client shows of the Responses API."""

import json
from importlib.metadata import version as version_of

from openai import OpenAIError
from pydantic import BaseModel
from recipe import client
from showing import show, stopped, weather

PARAMETERS = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
WEATHER = {"type": "function", "name": "weather", "parameters": PARAMETERS}


class Place(BaseModel):
    city: str


def create(question, model="demo", **more):
    return client.responses.create(model=model, input=question, **more)


def deltas(stream):
    return (event.delta for event in stream if event.type == "response.output_text.delta")


def version():
    return version_of("openai")


def plain():
    return create("Hello").output_text


def streaming():
    return list(deltas(create("Hello", stream=True)))


def helper():
    with client.responses.stream(model="demo", input="Hello") as stream:
        said = "".join(deltas(stream))
        return said, stream.get_final_response().output_text


def structured():
    response = client.responses.parse(model="echo", input='{"city": "Paris"}', text_format=Place)
    return response.output_parsed.city


def tools():
    question = {"role": "user", "content": "What is the weather in Paris?"}
    asked = create([question], tools=[WEATHER])
    (call,) = (item for item in asked.output if item.type == "function_call")
    output = weather(**json.loads(call.arguments))
    result = {"type": "function_call_output", "call_id": call.call_id, "output": output}
    return create([question, *asked.output, result], tools=[WEATHER]).output_text


def agent_tool():
    response = create("Add 19 and 23")
    (call,) = (item for item in response.output if item.type == "mcp_call")
    return call.name, call.output, response.output_text


def second_turn():
    first = {"role": "user", "content": "When is high tide?"}
    answer = create([first], model="echo")
    return create([first, *answer.output, {"role": "user", "content": "And low tide?"}], model="echo").output_text


def previous_id():
    first = create("When is high tide?", model="echo")
    return create("And low tide?", model="echo", previous_response_id=first.id).output_text


def reasoning():
    items = create("[[scenario:reasoning]]").output
    return "".join(part.text for item in items if item.type == "reasoning" for part in item.summary)


def error():
    said = ""
    try:
        for delta in deltas(create("[[scenario:fail]]", stream=True)):
            said += delta
    except OpenAIError as failed:
        return said, str(failed)


def refusal():
    try:
        create("[[scenario:fail_start]]")
    except OpenAIError as failed:
        return str(failed)


async def cancel():
    said = ""
    with create("[[scenario:slow]]", stream=True) as stream:
        for delta in deltas(stream):
            said += delta
            if "am" in said:
                break
    return await stopped(said)


show(
    version,
    plain,
    streaming,
    helper,
    structured,
    tools,
    agent_tool,
    second_turn,
    previous_id,
    reasoning,
    error,
    refusal,
    cancel,
)
