"""The inspector: a page that shows runs. Pure: a section of the settings."""

from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from ..fields import field
from ..types import PositiveCount, Switch, WholeNumber


@dataclass(frozen=True, kw_only=True)
class InspectionSettings:
    inspect: Switch = field(
        False,
        "Serve a page at /inspect that shows each run, the agent's frames beside what the client got. Without keys "
        "only this machine may read it; with keys only a key with `inspect = true`. With --demo it is on by default.",
        reload=False,
    )
    inspect_content: Switch = field(
        False,
        "Show prompts, answers, reasoning, arguments and results on it; by default each letter is replaced by x.",
        reload=True,
    )
    inspect_runs: PositiveCount = field(
        200, "Runs that a worker keeps for the page; the oldest are dropped first.", reload=False
    )
    inspect_bytes: Annotated[WholeNumber, Field(ge=64 * 1024)] = field(
        64 * 1024 * 1024,
        "Bytes of memory for these runs in a worker; the bytes of the oldest are dropped first.",
        reload=False,
    )
