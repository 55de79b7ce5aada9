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
    wire: Literal["0.9", "0.14"] = "0.9"
    """Whose HTTP transports: those of Agentick 0.9, or those of 0.10 to 0.14."""
    release: Literal["0.9.4", "924f879"] = "924f879"
    """0.9.4 has no built-in methods behind `/invoke`; every gateway with the newer wire has them."""
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
    events_limit: int = 0
    """Bytes of frames after which `/events` says nothing more, as some 0.14 gateways do. 0: no limit."""
    recordings: Mapping[str, bytes | Tape | Script] = field(default_factory=dict)
    """Answers for exact prompts (the last text block): recorded bytes, one frame a chunk, or a script."""

    @property
    def is_newer(self) -> bool:
        return self.wire == "0.14"

    @property
    def sends_synthetic_end(self) -> bool:
        """Whether an empty `execution_end` follows the run's own."""
        return not self.is_newer or self.form == "embedded"

    @property
    def hides_internal_events(self) -> bool:
        """Whether `/send` leaves out the frames that hold the whole prompt."""
        return not self.sends_synthetic_end
