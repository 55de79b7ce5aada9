"""Settings of a demo gateway, some of which reproduce faults of the real one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from .script import RawScript, Script


@dataclass(frozen=True, slots=True)
class GatewaySettings:
    form: Literal["both", "standalone", "embedded"] = "both"
    """Which body `/send` accepts: `message` (standalone), `messages` (embedded), or either."""
    wire: Literal["0.9", "0.14"] = "0.9"
    """The HTTP transports: those of Agentick 0.9, or those of 0.10 to 0.14."""
    release: Literal["0.9.4", "924f879"] = "924f879"
    """0.9.4 has no built-in methods of `/invoke`; every gateway with the newer transports has them."""
    token: str | None = None
    """The bearer token that requests must carry, if any."""
    pace: float = 0.02
    """Seconds between two words; 0 runs without waiting."""
    close_works: bool | None = None
    """Whether `/close` closes the session. None: as the form does; standalone only while `/events` has a client."""
    corrupt_joined: bool = False
    """Two readers of one run each lose every other frame and get the next one twice, as with the real buffer."""
    heartbeat: float = 30.0
    """Seconds between the heartbeats of `/events`; `/send` has none."""
    events_limit: int = 0
    """Bytes of frames after which `/events` sends no more frames, as some 0.14 gateways do. 0: no limit."""
    recordings: Mapping[str, bytes | RawScript | Script] = field(default_factory=dict)
    """Runs by exact prompt (the last text block): recorded bytes, sent one frame an HTTP chunk, or a script."""

    @property
    def is_newer(self) -> bool:
        return self.wire == "0.14"

    @property
    def sends_synthetic_end(self) -> bool:
        """Whether an empty `execution_end` follows the run's own."""
        return not self.is_newer or self.form == "embedded"

    @property
    def hides_internal_events(self) -> bool:
        """Whether `/send` leaves out the frames that contain the whole prompt."""
        return not self.sends_synthetic_end
