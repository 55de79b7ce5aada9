"""The request bodies that OpenAI documents, as types that pydantic checks, and the two checkers.

Only what the API describes is written down; fields that it does not know are let through, for clients add
their own. An optional field may be null, which means the same as absent. A bound written as float is the
bound of a decimal.

Source: OpenAI's API description 2.3.0 as laid down in `openai-chat.md` 1.2 and 1.5 and
`openai-models-errors.md` 2.1.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, Required

from pydantic import Field, Tag, TypeAdapter
from typing_extensions import TypedDict

from .message_schema import AnyMessage, Array, String, ToolContent
from .tool_schema import AnyTool, Function, FunctionCallChoice, JsonObject, Name, TextFormat, ToolChoice
from .validation import at_most, by_field, by_json_type

MAX_BIASED_TOKENS = 1024
"""The description has no limit; this keeps the list of faults in a hostile body short."""

Int64 = Annotated[int, Field(ge=-(2**63), le=2**63 - 1)]
Penalty = Annotated[float, Field(ge=-2.0, le=2.0)]
Bias = Annotated[float, Field(ge=-100.0, le=100.0)]


class JsonSchema(TypedDict, total=False):
    name: Required[Name]
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
    content: ToolContent


class Approximate(TypedDict, total=False):
    city: str | None
    country: str | None
    region: str | None
    timezone: str | None


class UserLocation(TypedDict):
    type: Literal["approximate"]
    approximate: Approximate


class WebSearchOptions(TypedDict, total=False):
    search_context_size: Literal["low", "medium", "high"] | None
    user_location: UserLocation | None


class PromptCacheOptions(TypedDict, total=False):
    mode: Literal["implicit", "explicit"] | None
    ttl: Literal["30m"] | None


Stop = Annotated[
    String | Annotated[Array[str], Field(max_length=4), Tag("|array")],
    by_json_type("a string", "array of strings"),
]
Metadata = Annotated[
    dict[Annotated[str, Field(max_length=64)], Annotated[str, Field(max_length=512)]],
    at_most(16),
]


class Sampling(TypedDict, total=False):
    """What both ways of completing share."""

    model: str | None
    stream: bool | None
    stream_options: StreamOptions | None
    max_tokens: int | None
    n: Annotated[int, Field(ge=1, le=128)] | None
    temperature: Annotated[float, Field(ge=0.0, le=2.0)] | None
    top_p: Annotated[float, Field(ge=0.0, le=1.0)] | None
    frequency_penalty: Penalty | None
    presence_penalty: Penalty | None
    logit_bias: Annotated[dict[str, Bias], at_most(MAX_BIASED_TOKENS)] | None
    stop: Stop | None
    seed: Int64 | None
    user: str | None


class ChatBody(Sampling, total=False):
    """`audio` and `moderation` are refused whatever they hold, so their insides are not described."""

    messages: Required[Annotated[Array[AnyMessage], Field(min_length=1)]]
    max_completion_tokens: int | None
    logprobs: bool | None
    top_logprobs: Annotated[int, Field(ge=0, le=20)] | None
    tools: Array[AnyTool] | None
    tool_choice: ToolChoice | None
    parallel_tool_calls: bool | None
    functions: Annotated[Array[Function], Field(min_length=1, max_length=128)] | None
    function_call: FunctionCallChoice | None
    response_format: ResponseFormat | None
    modalities: Array[Literal["text", "audio"]] | None
    audio: JsonObject | None
    prediction: Prediction | None
    reasoning_effort: Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"] | None
    verbosity: Literal["low", "medium", "high"] | None
    web_search_options: WebSearchOptions | None
    moderation: JsonObject | None
    service_tier: Literal["auto", "default", "flex", "scale", "priority", "fast"] | None
    store: bool | None
    metadata: Metadata | None
    safety_identifier: Annotated[str, Field(max_length=128)] | None
    prompt_cache_key: str | None
    prompt_cache_options: PromptCacheOptions | None
    prompt_cache_retention: Literal["in_memory", "24h"] | None


Prompt = Annotated[
    String | Annotated[Annotated[list[Any], Field(min_length=1)], Tag("|array")],
    by_json_type("a string", "array of strings"),
]


class CompletionBody(Sampling, total=False):
    """What an array of prompts may hold is for the builder to say: most of it cannot be run."""

    prompt: Required[Prompt]
    best_of: Annotated[int, Field(ge=0, le=20)] | None
    echo: bool | None
    logprobs: Annotated[int, Field(ge=0, le=5)] | None
    suffix: str | None


CHAT: TypeAdapter[ChatBody] = TypeAdapter(ChatBody)
COMPLETION: TypeAdapter[CompletionBody] = TypeAdapter(CompletionBody)
