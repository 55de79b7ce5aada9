"""What Google's ADK shows."""

from importlib.metadata import version as version_of

from google.adk.agents import Agent
from google.adk.agents.run_config import RunConfig, StreamingMode
from google.adk.runners import InMemoryRunner
from google.genai import types
from recipe import agent, model
from showing import show, stopped, weather


async def parts(question, asked=agent, mode=StreamingMode.SSE):
    runner = InMemoryRunner(agent=asked)
    session = await runner.session_service.create_session(app_name=runner.app_name, user_id="me")
    fields = {"user_id": "me", "session_id": session.id, "new_message": types.UserContent(question)}
    async for event in runner.run_async(**fields, run_config=RunConfig(streaming_mode=mode)):
        for part in (event.content and event.content.parts) or ():
            if bool(event.partial) is (mode is StreamingMode.SSE) and part.text:
                yield part


async def texts(*how):
    async for part in parts(*how):
        if not part.thought:
            yield part.text


def version():
    return version_of("google-adk")


async def plain():
    return "".join([text async for text in texts("Hello", agent, StreamingMode.NONE)])


async def streaming():
    return [text async for text in texts("Hello")]


async def tools():
    with_tools = Agent(name="weather_agent", model=model, tools=[weather])
    answer = "".join([text async for text in texts("What is the weather in Paris?", with_tools)])
    return answer.replace('{"result": "', "").replace('"}', "")  # ADK puts every result into an object


async def reasoning():
    return "".join([part.text async for part in parts("[[scenario:reasoning]]") if part.thought])


async def error():
    answer = ""
    try:
        async for text in texts("[[scenario:fail]]"):
            answer += text
    except Exception as failed:
        return answer, str(failed)


async def refusal():
    try:
        return "".join([text async for text in texts("[[scenario:fail_start]]")])
    except Exception as failed:
        return str(failed)


async def cancel():
    answer = ""
    asking = texts("[[scenario:slow]]")
    async for text in asking:
        answer += text
        if "am" in answer:
            break
    await asking.aclose()
    return await stopped(answer)


show(version, plain, streaming, tools, reasoning, error, refusal, cancel)
