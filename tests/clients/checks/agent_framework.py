"""What Microsoft's agent-framework shows."""

import asyncio
from importlib.metadata import version as version_of

from agent_framework.openai import OpenAIChatCompletionClient
from recipe import client
from showing import show, stopped, weather

url = str(client.client.base_url)
client = OpenAIChatCompletionClient(model="demo", base_url=url, api_key="any")  # the recipe's is of another event loop
agent = client.as_agent(name="assistant")


def version():
    return version_of("agent-framework-core")


async def plain():
    return (await agent.run("Hello")).text


async def streaming():
    return [update.text async for update in agent.run("Hello", stream=True) if update.text]


async def tools():
    return (await client.as_agent(tools=[weather]).run("What is the weather in Paris?")).text


async def reasoning():
    messages = (await agent.run("[[scenario:reasoning]]")).messages
    return "".join(part.text for each in messages for part in each.contents if part.type == "text_reasoning")


async def error():
    answer = ""
    try:
        async for update in agent.run("[[scenario:fail]]", stream=True):
            answer += update.text
    except Exception as failed:
        return answer, str(failed)


async def refusal():
    try:
        await agent.run("[[scenario:fail_start]]")
    except Exception as failed:
        return str(failed)


async def cancel():
    answer = ""
    in_the_middle = asyncio.Event()

    async def read():
        nonlocal answer
        async for update in agent.run("[[scenario:slow]]", stream=True):
            answer += update.text
            if "am" in answer:
                in_the_middle.set()

    reading = asyncio.create_task(read())
    await in_the_middle.wait()
    reading.cancel()
    return await stopped(answer)


show(version, plain, streaming, tools, reasoning, error, refusal, cancel)
