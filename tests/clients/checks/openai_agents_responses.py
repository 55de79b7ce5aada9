"""What openai-agents shows with its default model, which uses the Responses API."""

from importlib.metadata import version as version_of

from agents import Agent, HostedMCPTool, OpenAIConversationsSession, Runner, function_tool, set_default_openai_client
from openai import AsyncOpenAI, DefaultAsyncHttpxClient
from recipe import agent
from showing import show, stopped, weather

own = AsyncOpenAI(http_client=DefaultAsyncHttpxClient())  # the recipe's connections belong to another event loop
set_default_openai_client(own)


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
    with_tools = Agent(name="Weather", model="demo", tools=[function_tool(weather)])
    return (await Runner.run(with_tools, "What is the weather in Paris?")).final_output


async def agent_tool():
    run = await Runner.run(agent, "Add 19 and 23")
    (call,) = (item.raw_item for item in run.new_items if item.type == "tool_call_item")
    return call.name, call.output, run.final_output


async def approval():
    asked = []

    def approve(request):
        asked.append(request.data.name)
        return {"approve": True}

    server = {"type": "mcp", "server_label": "demo", "server_url": "http://127.0.0.1", "require_approval": "always"}
    careful = agent.clone(tools=[HostedMCPTool(tool_config=server, on_approval_request=approve)])
    return asked, (await Runner.run(careful, "[[scenario:confirm]]")).final_output


async def second_turn():
    echo = Agent(name="Echo", model="echo")
    first = await Runner.run(echo, "When is high tide?")
    second = {"role": "user", "content": "And low tide?"}
    return (await Runner.run(echo, [*first.to_input_list(), second])).final_output


async def session():
    """The conversation is kept by the server; the client reads it for each turn, and adds to it."""
    echo, kept = Agent(name="Echo", model="echo"), OpenAIConversationsSession(openai_client=own)
    await Runner.run(echo, "When is high tide?", session=kept)
    second = (await Runner.run(echo, "And low tide?", session=kept)).final_output
    roles = [item["role"] for item in await kept.get_items()]
    await kept.clear_session()
    return second, roles


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


show(version, plain, streaming, tools, agent_tool, approval, second_turn, session, reasoning, error, refusal, cancel)
