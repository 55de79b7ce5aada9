"""What LlamaIndex shows."""

import gc
from importlib.metadata import version as version_of

from llama_index.core.agent.workflow import FunctionAgent
from llama_index.core.llms import ChatMessage
from recipe import llm
from showing import show, stopped, weather


def version():
    return version_of("llama-index-llms-openai-like")


def plain():
    return llm.complete("Hello").text


def streaming():
    return [answer.delta or "" for answer in llm.stream_complete("Hello")]


async def tools():
    return str(await FunctionAgent(tools=[weather], llm=llm).run("What is the weather in Paris?"))


def reasoning():
    answer = llm.chat([ChatMessage(role="user", content="[[scenario:reasoning]]")])
    return "".join(block.content for block in answer.message.blocks if block.block_type == "thinking")


def error():
    partial = ""
    try:
        for answer in llm.stream_complete("[[scenario:fail]]"):
            partial += answer.delta or ""
    except Exception as failed:
        return partial, str(failed)


def refusal():
    try:
        llm.complete("[[scenario:fail_start]]")
    except Exception as failed:
        return str(failed)


def read_two_words():
    partial = ""
    for answer in llm.stream_complete("[[scenario:slow]]"):
        partial += answer.delta or ""
        if "am" in partial:
            break
    return partial


async def cancel():
    answer = read_two_words()
    gc.collect()  # nothing else closes the connection of a stream that is left, not even its `close`
    return await stopped(answer)


show(version, plain, streaming, tools, reasoning, error, refusal, cancel)
