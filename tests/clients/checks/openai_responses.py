"""Checks the results of the official client with the Responses API."""

import json
import time
from importlib.metadata import version as version_of
from itertools import groupby

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
        answer = "".join(deltas(stream))
        return answer, stream.get_final_response().output_text


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
    second = create("And low tide?", model="echo", previous_response_id=first.id)
    third = create("And tomorrow?", model="echo", previous_response_id=second.id)
    fork = create("And low tide?", model="echo", previous_response_id=first.id)
    return [second.output_text, third.output_text], fork.output_text


def background():
    response = create("Hello", background=True)
    states = [response.status]
    while response.status in ("queued", "in_progress"):
        time.sleep(0.05)
        response = client.responses.retrieve(response.id)
    return [states[0], response.status], response.output_text


def resumed():
    """The stream is cut in the middle, and taken up behind the last event that was read."""
    events = []
    with create("Hello", stream=True, background=True) as stream:
        for event in stream:
            events.append(event)
            if event.type == "response.output_text.delta":
                break
    answer_id, seen = events[0].response.id, events[-1].sequence_number
    events += client.responses.retrieve(answer_id, stream=True, starting_after=seen)
    numbers = [number for number, _ in groupby(event.sequence_number for event in events)]  # once with keep-alives
    return numbers == list(range(len(numbers))), "".join(deltas(events))


def conversation():
    made = client.conversations.create(metadata={"topic": "tides"})
    answers = [create(each, model="echo", conversation=made.id) for each in ("When is high tide?", "And low tide?")]
    items = client.conversations.items.list(made.id, order="asc", limit=3)
    texts = [item.content[0].text for item in items]
    client.conversations.items.delete(said_id(items), conversation_id=made.id)
    client.conversations.items.create(made.id, items=[{"type": "message", "role": "user", "content": "It is winter."}])
    changed = create("And tomorrow?", model="echo", conversation=made.id).output_text
    return [texts, answers[-1].output_text, changed, client.conversations.delete(made.id).deleted]


def said_id(items):
    return items.data[0].id


def reasoning():
    items = create("[[scenario:reasoning]]").output
    return "".join(part.text for item in items if item.type == "reasoning" for part in item.summary)


def error():
    answer = ""
    try:
        for delta in deltas(create("[[scenario:fail]]", stream=True)):
            answer += delta
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
        for delta in deltas(stream):
            answer += delta
            if "am" in answer:
                break
    return await stopped(answer)


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
    background,
    resumed,
    conversation,
    reasoning,
    error,
    refusal,
    cancel,
)
