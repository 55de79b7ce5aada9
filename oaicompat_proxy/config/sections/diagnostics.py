"""Diagnostics and recordings. Pure: a section of the settings."""

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field

from ..fields import field
from ..types import Switch, Text, WholeNumber


@dataclass(frozen=True, kw_only=True)
class DiagnosticSettings:
    diagnostics: Literal["on", "off"] = field(
        "on",
        "Answer the requests of the `doctor` command: a few short test streams, and what the gateway can do.",
        reload=True,
    )
    record: Text = field(
        "", "Write a recording of each run to this directory; `replay` reads it.", metavar="DIR", reload=True
    )
    record_raw: Switch = field(
        False, "Record texts, prompts and arguments unmasked; by default each letter is replaced by x.", reload=True
    )
    record_max: Annotated[WholeNumber, Field(ge=1024)] = field(
        16 * 1024 * 1024, "Bytes of one recording; the rest is not written.", reload=True
    )
    record_total: Annotated[WholeNumber, Field(ge=1024)] = field(
        1024 * 1024 * 1024, "Bytes of all recordings; the oldest are deleted to make room.", reload=True
    )
