"""A third-party agent: LangGraph behind its own AG-UI endpoint, with a scripted model."""

from __future__ import annotations

import json
import operator
from collections.abc import Callable, Iterator
from typing import Annotated, Any

from ag_ui_langgraph import LangGraphAgent, add_langgraph_fastapi_endpoint
from fastapi import FastAPI
from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, ToolMessage
from langchain_core.outputs import ChatGenerationChunk, ChatResult
from langchain_core.tools import tool
from langgraph.checkpoint.memory import MemorySaver
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode, tools_condition
from langgraph.types import interrupt


@tool
def almanac(port: str) -> str:
    """The time of high water."""
    return f"high water in {port} at 06:12"


class Harbormaster(BaseChatModel):
    """A scripted model: the user's last message says whether it greets, calls `almanac`, or the client's `tide`."""

    @property
    def _llm_type(self) -> str:
        return "scripted"

    def _generate(self, messages: list[BaseMessage], *_: Any, **__: Any) -> ChatResult:
        raise NotImplementedError("the graph streams")

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        for chunk in _speak(messages):
            if run_manager is not None:
                run_manager.on_llm_new_token(str(chunk.content), chunk=ChatGenerationChunk(message=chunk))
            yield ChatGenerationChunk(message=chunk)


def _speak(messages: list[BaseMessage]) -> Iterator[AIMessageChunk]:
    last = messages[-1]
    if isinstance(last, ToolMessage):
        yield AIMessageChunk(content="It says ")
        yield AIMessageChunk(content=f"{last.content}.")
    elif last.content in ("almanac", "tide"):
        yield _piece(str(last.content), f"call-{len(messages)}", "")
        yield _piece(None, None, '{"port":')
        yield _piece(None, None, '"Brest"}')
    elif last.content == "fail":
        raise RuntimeError("The crystal ball broke.")
    elif last.content == "summary":
        yield AIMessageChunk(content=json.dumps([[message.type, message.content] for message in messages]))
    else:
        for word in ("Hello", " from", " the", " graph."):
            yield AIMessageChunk(content=word)


def _piece(name: str | None, call_id: str | None, arguments: str) -> AIMessageChunk:
    """A tool call as models stream it: first its name, then its arguments."""
    piece: Any = {"name": name, "args": arguments, "id": call_id, "index": 0}
    return AIMessageChunk(content="", tool_call_chunks=[piece])


class State(MessagesState):
    tools: list[Any]


def _next(state: State) -> str:
    calls = getattr(state["messages"][-1], "tool_calls", [])
    return "__end__" if any(call["name"] != "almanac" for call in calls) else tools_condition(state)  # type: ignore[arg-type]


class Asking(MessagesState):
    answers: Annotated[list[str], operator.add]


def new_asking_graph(*questions: Any) -> Any:
    """A graph that asks all questions at the same time, waits for the answers, and then repeats them."""

    def ask(question: Any) -> Callable[[Asking], dict[str, Any]]:
        return lambda state: {"answers": [json.dumps(interrupt(question))]}

    graph = StateGraph(Asking)
    graph.add_node("say", lambda state: {"messages": [AIMessage(" and ".join(sorted(state["answers"])))]})
    for number, question in enumerate(questions):
        graph.add_node(f"ask-{number}", ask(question))
        graph.add_edge(START, f"ask-{number}")
    graph.add_edge([f"ask-{number}" for number in range(len(questions))], "say")
    return graph.compile(checkpointer=MemorySaver())


QUESTION = "Book the flight for 900 EUR?"
TWO_QUESTIONS = (QUESTION, {"question": "And the hotel?"})
ACTIONS = {
    "action_requests": [
        {"name": "book", "args": {"flight": 7}, "description": "Book it?"},
        {"name": "pay", "args": {}},
    ],
    "review_configs": [],
}
"""The value of an interrupt of LangChain's `HumanInTheLoopMiddleware`."""


def new_app() -> FastAPI:
    """The agent at `/`, which keeps its threads in memory, and others that ask.

    Those at `/ask…` ask as the adapter does by default, those at `/outcome/ask…` as AG-UI 1.0 has it.
    """

    async def answer(state: State) -> dict[str, Any]:
        return {"messages": [await Harbormaster().ainvoke(state["messages"])]}

    graph = StateGraph(State)
    graph.add_node("answer", answer)
    graph.add_node("tools", ToolNode([almanac]))
    graph.add_edge(START, "answer")
    graph.add_conditional_edges("answer", _next)
    graph.add_edge("tools", "answer")
    app = FastAPI()
    agent = LangGraphAgent(name="harbor", graph=graph.compile(checkpointer=MemorySaver()))
    add_langgraph_fastapi_endpoint(app, agent, "/")
    for name, questions in (("one", (QUESTION,)), ("two", TWO_QUESTIONS), ("actions", (ACTIONS,))):
        for place, has_outcome in (("/ask", False), ("/outcome", True)):
            asking = LangGraphAgent(name=name, graph=new_asking_graph(*questions), emit_interrupt_outcome=has_outcome)
            add_langgraph_fastapi_endpoint(app, asking, f"{place}/{name}")
    return app
