"""LlamaIndex; its adapter has no interrupts."""

from fastapi import FastAPI
from llama_index.llms.openai_like import OpenAILike
from llama_index.protocols.ag_ui.router import get_ag_ui_workflow_router
from serving import MODEL, almanac_says, serve


async def almanac(port: str) -> str:
    """When high water is."""
    return almanac_says(port)


llm = OpenAILike(
    model="scripted", api_base=MODEL, api_key="any", is_chat_model=True, is_function_calling_model=True, max_retries=0
)
app = FastAPI()
app.include_router(get_ag_ui_workflow_router(llm=llm, backend_tools=[almanac]))
serve(app, "/run")
