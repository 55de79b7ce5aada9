"""How a demo gateway behaves: every setting, and the knobs that make it as nasty as a real one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from .script import Script, Tape


@dataclass(frozen=True, slots=True)
class GatewaySettings:
    form: Literal["both", "standalone", "embedded"] = "both"
    """Which body `/send` takes: `message`, `messages`, or either."""
    release: Literal["0.9.4", "924f879"] = "924f879"
    """0.9.4 has no built-in methods behind `/invoke`."""
    token: str | None = None
    """The bearer token that callers must show, if any."""
    pace: float = 0.02
    """Seconds between two words; 0 plays every run without waiting."""
    close_works: bool | None = None
    """Whether `/close` closes. None: as the form does; standalone only while an `/events` client listens."""
    corrupt_joined: bool = False
    """Two readers of one run lose every other frame and see the neighbour twice, as in the real buffer."""
    heartbeat: float = 30.0
    """Seconds between the comments on `/events`; `/send` has none."""
    recordings: Mapping[str, bytes | Tape | Script] = field(default_factory=dict)
    """Answers for exact prompts (the last text block): recorded bytes, one frame a chunk, or a script."""
