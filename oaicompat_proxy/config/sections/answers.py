"""The form of an answer, and the part of a conversation that the agent gets. Pure: a section of the settings."""

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field

from ..fields import field
from ..types import Count, PositiveCount, Seconds, Separator, SideRequests, Switch, WholeNumber


@dataclass(frozen=True, kw_only=True)
class AnswerSettings:
    tick_separator: Separator = field(
        "\n\n", "Text between the texts of two model steps.", metavar="TEXT", gateway=True, model=True
    )
    reasoning_field: Literal["reasoning_content", "reasoning", "both", "none"] = field(
        "reasoning_content",
        "Field for reasoning. Every client that reads reasoning reads the default.",
        gateway=True,
        model=True,
    )
    responses: Literal["stored", "stateless"] = field(
        "stored",
        "Responses API: `stored` keeps answers and conversations, in memory by default, so that a request may refer to "
        "them by `previous_response_id`, `conversation` or `item_reference`; `stateless` keeps none.",
        gateway=True,
    )
    response_db: str = field(
        "",
        "File in which the Responses API stores its answers and conversations, with their prompts, so that a restart "
        "loses none: an SQLite database for the processes of one machine. Empty: memory, or Redis with --redis.",
        metavar="FILE",
        gateway=True,
        reload=False,
    )
    response_ttl: Seconds = field(
        24 * 3600.0,
        "Seconds that an answer or a conversation is stored: in memory, in Redis, or in the file of response_db.",
        gateway=True,
        reload=False,
    )
    max_responses: PositiveCount = field(
        10_000,
        "Answers of one key, and of each of its users, that are stored; the oldest are deleted first. Their bytes are "
        "bounded, too: 16 MB in memory (and 2,048 answers), 64 MB in Redis, 1 GB in a file.",
        gateway=True,
        reload=False,
    )
    responses_reasoning: Literal["summary", "text"] = field(
        "summary",
        "Form of reasoning in the Responses API: a `summary`, which most clients show, or the reasoning `text`.",
        gateway=True,
        model=True,
    )
    server_tools: Literal["auto", "hide", "reasoning", "content"] = field(
        "auto",
        "Where the calls of the agent's own tools are shown. `auto`: as items in the Responses API, as blocks in the "
        "Messages API, and nowhere in other APIs, which have no form for them.",
        gateway=True,
        model=True,
    )
    tool_output_max: Count = field(
        16 * 1024, "Characters of a result, and of arguments, in an item or block of server_tools.", gateway=True
    )
    side_requests: SideRequests = field(
        "run",
        "What happens when a chat front end asks for a title, tags, follow-up questions or an autocompletion, or "
        "checks whether the model answers: `run` runs the agent, as for any request; `answer` answers at once without "
        "a run, a title from the conversation's own words and everything else empty; `model:NAME` runs that model, in "
        "a session of its own. Such a request is recognised by the prompts of well-known front ends.",
        metavar="WHAT",
        gateway=True,
        model=True,
    )
    structured: Literal["pass", "check"] = field(
        "pass",
        "What happens to an answer that is to be JSON (response_format, text.format, output_config.format): `pass` "
        "sends it unchanged; `check` checks it against the request's JSON schema. An answer that does not fit ends "
        "with the error agent_output_invalid. Needs oaicompat-proxy[structured].",
        gateway=True,
        model=True,
    )
    structured_strip_fences: Switch = field(
        False,
        "Remove the Markdown fence that models often write around an answer that is to be JSON.",
        gateway=True,
        model=True,
    )
    history: Literal["auto", "fold", "last", "full"] = field(
        "auto",
        "Messages of a conversation that the agent gets: `fold` puts the earlier messages as a transcript in front of "
        "the last one, `last` sends the messages after the last answer, `full` sends all messages to a gateway that "
        "takes them. `auto` folds, except in a session that knows the conversation.",
        gateway=True,
        model=True,
    )
    max_fold: Annotated[WholeNumber, Field(ge=1000)] = field(
        2 * 1024 * 1024,
        "Characters of a folded transcript: more than any model reads. The oldest messages are left out.",
        gateway=True,
        model=True,
    )
