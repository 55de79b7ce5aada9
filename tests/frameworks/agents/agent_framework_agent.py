"""Microsoft Agent Framework."""

from agent_framework import Agent, tool
from agent_framework.openai import OpenAIChatCompletionClient
from agent_framework_ag_ui import add_agent_framework_fastapi_endpoint
from fastapi import FastAPI
from serving import MODEL, almanac_says, launched, serve


@tool(approval_mode="never_require")
def almanac(port: str) -> str:
    """When high water is."""
    return almanac_says(port)


@tool(approval_mode="always_require")
def launch(ship: str, reason: str) -> str:
    """Launches a ship."""
    return launched(ship, reason)


client = OpenAIChatCompletionClient(model="scripted", base_url=MODEL, api_key="any")
agent = Agent(client=client, name="harbor", instructions="Be brief.", tools=[almanac, launch])
app = FastAPI()
add_agent_framework_fastapi_endpoint(app, agent, "/", single_user=True)
serve(app)
