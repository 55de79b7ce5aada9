"""Limits of sizes and numbers. Pure: a section of the settings."""

from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from ..fields import field
from ..types import Count, PositiveCount, WholeNumber


@dataclass(frozen=True, kw_only=True)
class SizeLimits:
    max_connections: PositiveCount = field(
        16_000,
        "Connections of clients at the same time in each worker; more are refused with 503. Each may need two open "
        "files.",
    )
    max_line: Annotated[WholeNumber, Field(ge=100)] = field(
        8190, "Bytes of a request's first line, and of each header; the same as nginx's default."
    )
    max_headers: PositiveCount = field(100, "Headers of a request.")
    max_head: PositiveCount = field(
        64 * 1024, "Bytes of a request's first line and headers together, if they do not arrive in one piece."
    )
    max_body: PositiveCount = field(
        32 * 1024 * 1024, "Bytes of a request after decompression: room for some pictures.", reload=True
    )
    max_media: Count = field(20 * 1024 * 1024, "Bytes of all pictures, sounds and files of a request.", gateway=True)
    max_text: PositiveCount = field(
        8 * 1024 * 1024,
        "Bytes of a request without its pictures, sounds and files: more than any model reads.",
        gateway=True,
    )
    max_values: Annotated[WholeNumber, Field(ge=100)] = field(
        100_000,
        "JSON values and keys of a request, counted before it is parsed; parsing keeps every other request waiting.",
        gateway=True,
    )
    max_messages: PositiveCount = field(4096, "Messages of a request: twice as many as OpenAI accepts.", gateway=True)
    max_parts: PositiveCount = field(8192, "Content parts and tool calls of all messages of a request.", gateway=True)
    max_tools: PositiveCount = field(1024, "Tools of a request.", gateway=True)
    max_answer: PositiveCount = field(
        32 * 1024 * 1024,
        "Characters of an answer that is not streamed, and of the tool calls and citations that are held back in any "
        "answer. A stream of the Responses API repeats its text at its end, so it has this limit, too; the text of "
        "other streams has none.",
        gateway=True,
    )
    max_frame: Annotated[WholeNumber, Field(ge=1024)] = field(
        16 * 1024 * 1024,
        "Bytes of one event of the agent that has to be decoded; debugging events are not decoded and may be longer.",
        gateway=True,
    )
