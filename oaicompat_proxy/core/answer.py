"""The parts of an answer, in the words of no client's protocol."""

from __future__ import annotations

from typing import Any, NamedTuple


class Envelope(NamedTuple):
    """What all chunks of an answer share. `created`: Unix time in seconds."""

    id: str
    created: int
    model: str


class Role(NamedTuple):
    """The first chunk. `with_text`: false if a tool call comes first."""

    with_text: bool = True


class Content(NamedTuple):
    text: str


class Contents(NamedTuple):
    """Several chunks of content. `text`: of all. `encoded`: of each, as the inside of a JSON string, safe for all."""

    text: str
    encoded: list[bytes]


class Reasoning(NamedTuple):
    text: str


class ToolCallHead(NamedTuple):
    position: int
    """The call's `index`: from 0, without gaps."""
    id: str
    name: str


class ToolCallArguments(NamedTuple):
    position: int
    arguments: str


class UrlCitation(NamedTuple):
    """`start` and `end`: characters of the whole answer's text."""

    url: str
    title: str
    start: int
    end: int

    def body(self) -> dict[str, Any]:
        """OpenAI's annotation object."""
        return {
            "type": "url_citation",
            "url_citation": {
                "start_index": self.start,
                "end_index": self.end,
                "url": self.url,
                "title": self.title,
            },
        }


class Annotations(NamedTuple):
    """All citations of the answer, once: clients cannot merge two lists."""

    citations: tuple[UrlCitation, ...]


class Finish(NamedTuple):
    """The last chunk with a choice: one of OpenAI's finish reasons."""

    reason: str


class UsageReport(NamedTuple):
    """Tokens of the whole run; the details are None where the agent does not tell."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    reasoning_tokens: int | None = None
    cached_tokens: int | None = None

    def body(self) -> dict[str, Any]:
        """OpenAI's `usage` object, with the details that are known."""
        usage: dict[str, Any] = {
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": self.completion_tokens,
            "total_tokens": self.total_tokens,
        }
        if self.cached_tokens is not None:
            usage["prompt_tokens_details"] = {"cached_tokens": self.cached_tokens}
        if self.reasoning_tokens is not None:
            usage["completion_tokens_details"] = {"reasoning_tokens": self.reasoning_tokens}
        return usage


Chunk = Role | Content | Contents | Reasoning | ToolCallHead | ToolCallArguments | Annotations | Finish | UsageReport


def size_of(chunk: Chunk) -> int:
    """Characters of what the agent said in it."""
    if isinstance(chunk, (Content, Contents, Reasoning)):
        return len(chunk.text)
    return len(chunk.arguments) if isinstance(chunk, ToolCallArguments) else 0
