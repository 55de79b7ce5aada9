"""LangGraph with a checkpointer, which keeps threads; a tool asks by `interrupt()`."""

from typing import Any

from ag_ui_langgraph import LangGraphAgent, add_langgraph_fastapi_endpoint
from fastapi import FastAPI
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from langgraph.checkpoint.memory import MemorySaver
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode
from langgraph.types import interrupt
from serving import almanac_says, launched, serve


@tool
def almanac(port: str) -> str:
    """When high water is."""
    return almanac_says(port)


@tool
def launch(ship: str, reason: str) -> str:
    """Launches a ship, if a human says yes."""
    answer = interrupt({"message": "Approve launch?", "tool": "launch", "args": {"ship": ship, "reason": reason}})
    said_yes = answer.get("approved") if isinstance(answer, dict) else str(answer).startswith("yes")
    return launched(ship, reason) if said_yes else "denied"


class State(MessagesState):
    tools: list[Any]


OWN = {"almanac": almanac, "launch": launch}


async def answer(state: State):
    model = ChatOpenAI(model="scripted", max_retries=0)
    bound = model.bind_tools([*OWN.values(), *state.get("tools", [])])
    return {"messages": [await bound.ainvoke(state["messages"])]}


def go_on(state: State):
    calls = state["messages"][-1].tool_calls
    return "tools" if calls and all(call["name"] in OWN for call in calls) else "__end__"


graph = StateGraph(State)
graph.add_node("answer", answer)
graph.add_node("tools", ToolNode(list(OWN.values())))
graph.add_edge(START, "answer")
graph.add_conditional_edges("answer", go_on)
graph.add_edge("tools", "answer")
app = FastAPI()
add_langgraph_fastapi_endpoint(app, LangGraphAgent(name="harbor", graph=graph.compile(checkpointer=MemorySaver())), "/")
serve(app)
