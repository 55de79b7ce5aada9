"""The request bodies that OpenAI documents, as types that pydantic checks, and the two checkers.

Only what the API describes is written down; fields that it does not know are let through, for clients add
their own. An optional field may be null, which means the same as absent. A bound written as float is the
bound of a decimal.

The types are OpenAI's. Of its bounds there are only those that every model has: how many, how long, how large and
which word its own service takes is no matter of the agent's, so such values are passed on.

Source: `api/openai/PROTOCOL.md`, "Chat request" and "Completions".
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, Required

from pydantic import Field, Tag, TypeAdapter
from typing_extensions import TypedDict

from ..validation import at_most, by_field, by_json_type
from .messages import AnyMessage, Array, String, TextContent
from .tools import AnyTool, Function, FunctionCallChoice, JsonObject, TextFormat, ToolChoice

MAX_BIASED_TOKENS = 1024
"""The description has no limit; this keeps the list of faults in a hostile body short."""


class JsonSchema(TypedDict, total=False):
    name: Required[str]
    description: str | None
    schema: JsonObject | None
    strict: bool | None


class JsonObjectFormat(TypedDict):
    type: Literal["json_object"]


class JsonSchemaFormat(TypedDict):
    type: Literal["json_schema"]
    json_schema: JsonSchema


ResponseFormat = Annotated[
    Annotated[TextFormat, Tag("|text")]
    | Annotated[JsonObjectFormat, Tag("|json_object")]
    | Annotated[JsonSchemaFormat, Tag("|json_schema")],
    by_field("type", "text", "json_object", "json_schema"),
]


class StreamOptions(TypedDict, total=False):
    include_usage: bool | None
    include_obfuscation: bool | None


class Prediction(TypedDict):
    type: Literal["content"]
    content: TextContent


class Approximate(TypedDict, total=False):
    city: str | None
    country: str | None
    region: str | None
    timezone: str | None


class UserLocation(TypedDict):
    type: Literal["approximate"]
    approximate: Approximate


class WebSearchOptions(TypedDict, total=False):
    search_context_size: str | None
    user_location: UserLocation | None


class PromptCacheOptions(TypedDict, total=False):
    mode: str | None
    ttl: str | None


Stop = Annotated[
    String | Annotated[Array[str], Tag("|array")],
    by_json_type("a string", "array of strings"),
]


class Metadata(TypedDict, total=False):
    """The proxy reads a session's name in it; the rest is the agent's affair."""

    session_id: str | None


MAX_NAME = 256
"""Characters of a name that is repeated in answers, logs and headers: the description has no limit."""

EchoedName = Annotated[str, Field(max_length=MAX_NAME)]


class Sampling(TypedDict, total=False):
    """What both ways of completing share."""

    model: EchoedName | None
    stream: bool | None
    stream_options: StreamOptions | None
    max_tokens: int | None
    n: Annotated[int, Field(ge=1)] | None
    temperature: Annotated[float, Field(ge=0.0)] | None
    top_p: Annotated[float, Field(ge=0.0, le=1.0)] | None
    frequency_penalty: float | None
    presence_penalty: float | None
    logit_bias: Annotated[dict[str, float], at_most(MAX_BIASED_TOKENS)] | None
    stop: Stop | None
    seed: int | None
    user: EchoedName | None


class ChatBody(Sampling, total=False):
    """`audio` and `moderation` are refused whatever they hold, so their insides are not described."""

    messages: Required[Annotated[Array[AnyMessage], Field(min_length=1)]]
    max_completion_tokens: int | None
    logprobs: bool | None
    top_logprobs: Annotated[int, Field(ge=0)] | None
    tools: Array[AnyTool] | None
    tool_choice: ToolChoice | None
    parallel_tool_calls: bool | None
    functions: Array[Function] | None
    function_call: FunctionCallChoice | None
    response_format: ResponseFormat | None
    modalities: Array[str] | None
    audio: JsonObject | None
    prediction: Prediction | None
    reasoning_effort: str | None
    verbosity: str | None
    web_search_options: WebSearchOptions | None
    moderation: JsonObject | None
    service_tier: str | None
    store: bool | None
    metadata: Metadata | None
    safety_identifier: str | None
    prompt_cache_key: str | None
    prompt_cache_options: PromptCacheOptions | None
    prompt_cache_retention: str | None


Prompt = Annotated[
    String | Annotated[Annotated[list[Any], Field(min_length=1)], Tag("|array")],
    by_json_type("a string", "array of strings"),
]


class CompletionBody(Sampling, total=False):
    """What an array of prompts may hold is for the builder to say: most of it cannot be run."""

    prompt: Required[Prompt]
    best_of: Annotated[int, Field(ge=0)] | None
    echo: bool | None
    logprobs: Annotated[int, Field(ge=0)] | None
    suffix: str | None


CHAT: TypeAdapter[ChatBody] = TypeAdapter(ChatBody)
COMPLETION: TypeAdapter[CompletionBody] = TypeAdapter(CompletionBody)
