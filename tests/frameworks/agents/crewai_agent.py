"""A CrewAI flow: it calls the model and its own tool by itself, and waits for feedback before it launches."""

import json

from ag_ui_crewai import agui_feedback_provider
from ag_ui_crewai.endpoint import add_crewai_flow_fastapi_endpoint
from ag_ui_crewai.sdk import CopilotKitState, copilotkit_emit_tool_result, copilotkit_stream
from crewai.flow.flow import Flow, listen, router, start
from crewai.flow.human_feedback import human_feedback
from fastapi import FastAPI
from litellm import acompletion
from serving import almanac_says, launched, serve


def tool(name, *arguments):
    properties = {each: {"type": "string"} for each in arguments}
    return {
        "type": "function",
        "function": {"name": name, "parameters": {"type": "object", "properties": properties}},
    }


OWN = [tool("almanac", "port"), tool("launch", "ship", "reason")]


class Harbor(Flow[CopilotKitState]):
    @start()
    async def answer(self):
        await self.ask()

    @router(answer)
    def what_next(self):
        calls = self.state.messages[-1].get("tool_calls") or []
        return "wants_launch" if any(call["function"]["name"] == "launch" for call in calls) else "done"

    @listen("wants_launch")
    @human_feedback(message="Approve launch?", provider=agui_feedback_provider)
    def approve(self):
        return json.loads(self.state.messages[-1]["tool_calls"][0]["function"]["arguments"])

    @listen(approve)
    async def launch(self, result):
        call = self.state.messages[-1]["tool_calls"][0]
        arguments = json.loads(call["function"]["arguments"])
        said_yes = result.feedback == "yes" or '"approved": true' in result.feedback
        await self.add_result(call, launched(**arguments) if said_yes else "denied")
        await self.ask()

    async def ask(self):
        actions = self.state.copilotkit.actions
        stream = await acompletion(
            model="openai/scripted", messages=self.state.messages, tools=[*OWN, *actions], stream=True, num_retries=0
        )
        message = (await copilotkit_stream(stream)).choices[0].message.model_dump(exclude_none=True)
        self.state.messages.append(message)
        for call in message.get("tool_calls") or []:
            if call["function"]["name"] == "almanac":
                await self.add_result(call, almanac_says(**json.loads(call["function"]["arguments"])))
                await self.ask()

    async def add_result(self, call, result):
        await copilotkit_emit_tool_result(call["id"], result)
        self.state.messages.append({"role": "tool", "tool_call_id": call["id"], "content": result})


app = FastAPI()
add_crewai_flow_fastapi_endpoint(app, Harbor(), "/")
serve(app)
