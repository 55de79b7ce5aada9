"""What openai-agents shows."""

from importlib.metadata import version as version_of

from agents import Agent, OpenAIChatCompletionsModel, Runner, function_tool
from openai import DefaultAsyncHttpxClient
from recipe import agent, client
from showing import show, stopped, weather

own = client.copy(http_client=DefaultAsyncHttpxClient())  # the recipe's connections belong to another event loop
model = OpenAIChatCompletionsModel(model="demo", openai_client=own)
agent = agent.clone(model=model)


async def texts(run):
    async for event in run.stream_events():
        if event.type == "raw_response_event" and event.data.type == "response.output_text.delta":
            yield event.data.delta


def version():
    return version_of("openai-agents")


async def plain():
    return (await Runner.run(agent, "Hello")).final_output


async def streaming():
    return [text async for text in texts(Runner.run_streamed(agent, "Hello"))]


async def tools():
    with_tools = Agent(name="Weather", model=model, tools=[function_tool(weather)])
    return (await Runner.run(with_tools, "What is the weather in Paris?")).final_output


async def reasoning():
    items = (await Runner.run(agent, "[[scenario:reasoning]]")).new_items
    return "".join(part.text for item in items if item.type == "reasoning_item" for part in item.raw_item.summary)


async def error():
    answer = ""
    try:
        async for text in texts(Runner.run_streamed(agent, "[[scenario:fail]]")):
            answer += text
    except Exception as failed:
        return answer, str(failed)


async def refusal():
    try:
        await Runner.run(agent, "[[scenario:fail_start]]")
    except Exception as failed:
        return str(failed)


async def cancel():
    answer = ""
    run = Runner.run_streamed(agent, "[[scenario:slow]]")
    async for text in texts(run):
        answer += text
        if "am" in answer:
            run.cancel()
    return await stopped(answer)


show(version, plain, streaming, tools, reasoning, error, refusal, cancel)
