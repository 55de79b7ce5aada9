"""What curl shows: the bytes, so this reads them as a shell script with jq would."""

import json
from pathlib import Path

from showing import joined, run, show, stopped, weather

COMMAND = Path("recipe.sh").read_text("utf-8").partition("-d '")[0] + "--silent --no-buffer -d '{body}'"
PARAMETERS = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
TOOLS = [{"type": "function", "function": {"name": "weather", "parameters": PARAMETERS}}]


def curl(question, *more, until=None, **fields):
    """The README's command with another body."""
    messages = [{"role": "user", "content": question}, *more]
    body = json.dumps({"model": "demo", "messages": messages, **fields})
    return run(COMMAND.replace("{body}", body), until)


def message(*more, **fields):
    answer = "".join(curl(*more, **fields))
    return json.loads(answer)["choices"][0]["message"]


def deltas(pieces):
    """The texts of a stream."""
    for line in "".join(pieces).split("\n"):
        if line.startswith('data: {"id"'):
            yield json.loads(line[6:])["choices"][0]["delta"].get("content") or ""


def version():
    return joined(run("curl --version")).split()[1]


def plain():
    return message("Hello")["content"]


def streaming():
    return list(deltas(curl("Hello", stream=True)))


def tools():
    asked = message("What is the weather in Paris?", tools=TOOLS)
    (call,) = asked["tool_calls"]
    result = weather(**json.loads(call["function"]["arguments"]))
    answer = {"role": "tool", "tool_call_id": call["id"], "content": result}
    return message("What is the weather in Paris?", asked, answer, tools=TOOLS)["content"]


def reasoning():
    return message("[[scenario:reasoning]]")["reasoning_content"]


def error():
    pieces = curl("[[scenario:fail]]", stream=True)
    (failed,) = (line for line in "".join(pieces).splitlines() if line.startswith('data: {"error"'))
    return "".join(deltas(pieces)), failed


def refusal():
    return joined(curl("[[scenario:fail_start]]"))


async def cancel():
    pieces = curl("[[scenario:slow]]", stream=True, until='"am "')
    return await stopped("".join(deltas(pieces)))


show(version, plain, streaming, tools, reasoning, error, refusal, cancel)
