"""What pydantic-ai shows."""

from importlib.metadata import version as version_of

from pydantic_ai import Agent
from recipe import agent, model
from showing import show, stopped, weather


def version():
    return version_of("pydantic-ai-slim")


async def plain():
    return (await agent.run("Hello")).output


async def streaming():
    async with agent.run_stream("Hello") as answer:
        return [text async for text in answer.stream_text(delta=True, debounce_by=None)]


async def tools():
    return (await Agent(model, tools=[weather]).run("What is the weather in Paris?")).output


async def reasoning():
    response = (await agent.run("[[scenario:reasoning]]")).response
    return "".join(part.content for part in response.parts if part.part_kind == "thinking")


async def error():
    partial = ""
    try:
        async with agent.run_stream("[[scenario:fail]]") as answer:
            async for text in answer.stream_text(delta=True, debounce_by=None):
                partial += text
    except Exception as failed:
        return partial, str(failed)


async def refusal():
    try:
        await agent.run("[[scenario:fail_start]]")
    except Exception as failed:
        return str(failed)


async def cancel():
    partial = ""
    async with agent.run_stream("[[scenario:slow]]") as answer:
        async for text in answer.stream_text(delta=True, debounce_by=None):
            partial += text
            if "am" in partial:
                await answer.cancel()
                break
    return await stopped(partial)


show(version, plain, streaming, tools, reasoning, error, refusal, cancel)
