"""The request bodies that OpenAI documents, as types that pydantic checks, with a validator for each.

Unknown fields are accepted, because clients add their own. An optional field may be null, which means the same as
absent. A bound written as a float is the bound of a decimal.

The types are OpenAI's. Of its bounds only those are checked that hold for every model. Others (numbers, lengths and
words that OpenAI's own models accept) do not concern the agent, so such values are passed on.

Source: `api/openai/PROTOCOL.md`, "Chat request" and "Completions".
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, Required

from pydantic import Field, Tag, TypeAdapter
from typing_extensions import TypedDict

from ...number_types import Decimal, Integer, Natural, NonNegative, Positive
from ..validation import at_most, by_field, by_json_type
from .messages import AnyMessage, Array, String, TextContent
from .tools import AnyTool, Function, FunctionCallChoice, JsonObject, TextFormat, ToolChoice

MAX_BIASED_TOKENS = 1024
"""OpenAI's description has no limit; this one bounds the number of errors in a hostile body."""


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
    """The proxy reads the name of a session from it, and passes all members on."""

    session_id: str | None


MAX_NAME = 256
"""Characters of a name that is repeated in answers, logs and headers; OpenAI's description has no limit."""

EchoedName = Annotated[str, Field(max_length=MAX_NAME)]


class Sampling(TypedDict, total=False):
    """The fields that chat and completions share."""

    model: EchoedName | None
    stream: bool | None
    stream_options: StreamOptions | None
    max_tokens: Integer | None
    n: Positive | None
    temperature: NonNegative | None
    top_p: Annotated[float, Field(ge=0.0, le=1.0)] | None
    frequency_penalty: Decimal | None
    presence_penalty: Decimal | None
    logit_bias: Annotated[dict[str, Decimal], at_most(MAX_BIASED_TOKENS)] | None
    stop: Stop | None
    seed: Integer | None
    user: EchoedName | None


class ChatBody(Sampling, total=False):
    """`audio` and `moderation` are rejected with any content, so their members have no types."""

    messages: Required[Annotated[Array[AnyMessage], Field(min_length=1)]]
    max_completion_tokens: Integer | None
    logprobs: bool | None
    top_logprobs: Natural | None
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
    """The items of an array of prompts are checked in `completions.request`: most forms cannot be run."""

    prompt: Required[Prompt]
    best_of: Natural | None
    echo: bool | None
    logprobs: Natural | None
    suffix: str | None


CHAT: TypeAdapter[ChatBody] = TypeAdapter(ChatBody)
COMPLETION: TypeAdapter[CompletionBody] = TypeAdapter(CompletionBody)
