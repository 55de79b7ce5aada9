"""Pydantic AI, which keeps nothing."""

from pydantic_ai import Agent, DeferredToolRequests
from pydantic_ai.ui.ag_ui import AGUIAdapter
from serving import almanac_says, launched, serve
from starlette.applications import Starlette
from starlette.routing import Route

agent = Agent("openai-chat:scripted", output_type=[str, DeferredToolRequests])


@agent.tool_plain
async def almanac(port: str) -> str:
    return almanac_says(port)


@agent.tool_plain(requires_approval=True)
async def launch(ship: str, reason: str) -> str:
    return launched(ship, reason)


async def run(request):
    return await AGUIAdapter.dispatch_request(request, agent=agent)


serve(Starlette(routes=[Route("/", run, methods=["POST"])]))
