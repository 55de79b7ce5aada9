"""Agno, with a database in memory: without one it can neither resume nor run a client's tool."""

from agno.agent import Agent
from agno.db.in_memory import InMemoryDb
from agno.models.openai import OpenAIChat
from agno.os.interfaces.agui import AGUI
from agno.tools import tool
from fastapi import FastAPI
from serving import MODEL, almanac_says, launched, serve


@tool
def almanac(port: str) -> str:
    """When high water is."""
    return almanac_says(port)


@tool(requires_confirmation=True)
def launch(ship: str, reason: str) -> str:
    """Launches a ship."""
    return launched(ship, reason)


model = OpenAIChat(id="scripted", base_url=MODEL, api_key="any", max_retries=0)
agent = Agent(model=model, tools=[almanac, launch], db=InMemoryDb(), telemetry=False, add_history_to_context=True)
app = FastAPI()
app.include_router(AGUI(agent=agent).get_router())
serve(app, "/agui")
