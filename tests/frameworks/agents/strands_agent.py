"""AWS Strands; a named tool waits for approval."""

from ag_ui_strands import StrandsAgent, StrandsAgentConfig, create_strands_app
from ag_ui_strands.config import ToolBehavior
from serving import MODEL, almanac_says, launched, serve
from strands import Agent, tool
from strands.models.openai import OpenAIModel


@tool
def almanac(port: str) -> str:
    """When high water is.

    Args:
        port: The port.
    """
    return almanac_says(port)


@tool
def launch(ship: str, reason: str) -> str:
    """Launches a ship.

    Args:
        ship: The ship.
        reason: What for.
    """
    return launched(ship, reason)


model = OpenAIModel(client_args={"base_url": MODEL, "api_key": "any", "max_retries": 0}, model_id="scripted")
agent = Agent(model=model, tools=[almanac, launch], callback_handler=None)
config = StrandsAgentConfig(tool_behaviors={"launch": ToolBehavior(interrupt_on_call=True)})
serve(create_strands_app(StrandsAgent(agent, name="harbor", config=config), "/"))
