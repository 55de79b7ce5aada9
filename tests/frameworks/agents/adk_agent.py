"""Google ADK, on LiteLLM's client of OpenAI's API; its threads are kept in memory."""

from ag_ui_adk import ADKAgent, AGUIToolset, add_adk_fastapi_endpoint
from fastapi import FastAPI
from google.adk.agents import LlmAgent
from google.adk.models.lite_llm import LiteLlm
from google.adk.tools import FunctionTool
from serving import MODEL, almanac_says, launched, serve


def almanac(port: str) -> str:
    """When high water is."""
    return almanac_says(port)


def launch(ship: str, reason: str) -> str:
    """Launches a ship."""
    return launched(ship, reason)


model = LiteLlm(model="openai/scripted", api_base=MODEL, api_key="any", num_retries=0)
tools = [almanac, FunctionTool(launch, require_confirmation=True), AGUIToolset()]
agent = LlmAgent(name="harbor", model=model, instruction="Be brief.", tools=tools)
app = FastAPI()
add_adk_fastapi_endpoint(app, ADKAgent(adk_agent=agent, app_name="harbor", user_id="ada"), "/")
serve(app)
