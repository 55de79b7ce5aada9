"""What LangChain shows."""

from importlib.metadata import version as version_of

from langchain_core.tools import tool
from recipe import model
from showing import show, stopped
from showing import weather as weather_of


def version():
    return version_of("langchain-openai")


def plain():
    return model.invoke("Hello").text


def streaming():
    return [chunk.text for chunk in model.stream("Hello")]


def tools():
    weather = tool("weather")(weather_of)
    with_tools = model.bind_tools([weather])
    asked = with_tools.invoke("What is the weather in Paris?")
    results = [weather.invoke(call) for call in asked.tool_calls]
    return with_tools.invoke([("user", "What is the weather in Paris?"), asked, *results]).text


def reasoning():
    blocks = model.invoke("[[scenario:reasoning]]").content_blocks
    return "".join(block.get("reasoning", "") for block in blocks)


def error():
    answer = ""
    try:
        for chunk in model.stream("[[scenario:fail]]"):
            answer += chunk.text
    except Exception as failed:
        return answer, str(failed)


def refusal():
    try:
        model.invoke("[[scenario:fail_start]]")
    except Exception as failed:
        return str(failed)


async def cancel():
    answer = ""
    stream = model.stream("[[scenario:slow]]")
    for chunk in stream:
        answer += chunk.text
        if "am" in answer:
            break
    stream.close()
    return await stopped(answer)


show(version, plain, streaming, tools, reasoning, error, refusal, cancel)
