"""Time limits, pauses and keep-alives, in seconds. Pure: a section of the settings."""

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field

from ..fields import field
from ..types import Count, PositiveSeconds, Seconds


@dataclass(frozen=True, kw_only=True)
class TimeLimits:
    connect_timeout: PositiveSeconds = field(
        5.0, "Seconds for a connection to the gateway, which is nearby.", gateway=True
    )
    connect_retries: Annotated[Count, Field(le=100)] = field(
        4,
        "Further attempts to connect for a run, within --connect-timeout, after pauses of 0.1 s, 0.2 s, 0.4 s, …: long "
        "enough for a gateway that restarts. Nothing but connecting is ever repeated.",
        gateway=True,
    )
    first_event_wait: Seconds = field(
        10.0,
        "Seconds for the first event of a run before status 200 is sent; until then a failure is an HTTP status. Well "
        "below the 60 s after which nginx gives up.",
        gateway=True,
    )
    first_event_timeout: Seconds = field(
        120.0,
        "Seconds for the agent's first byte, after which the run is stopped; 0 for no limit. A healthy gateway "
        "answers at once; two minutes let a sleeping one start.",
        gateway=True,
    )
    silence_timeout: PositiveSeconds = field(
        600.0,
        "Seconds for the agent's next byte. A tool may take minutes, and clients give up after ten.",
        gateway=True,
    )
    run_timeout: Seconds = field(
        3600.0,
        "Seconds for a whole run, which is then stopped; 0 for no limit. One hour, as proxy_read_timeout in the nginx "
        "files: an agent in a loop must end.",
        gateway=True,
    )
    keep_alive: Annotated[PositiveSeconds, Field(le=240)] = field(
        15.0,
        "Seconds between the keep-alives of a silent stream; a quarter of nginx's 60 s. At most 240: Claude Code gives "
        "a stream up that is silent for 300 s.",
        gateway=True,
    )
    keep_alive_form: Literal["chunk", "comment"] = field(
        "chunk",
        "Form of a keep-alive: a `chunk` with an empty delta, which every client accepts, or a `comment` of the event "
        "stream, which is invisible, but which breaks some clients (OpenAI's Go client up to 3.42).",
        gateway=True,
    )
    json_keep_alive: Seconds = field(
        0.0,
        "Seconds between line ends in front of an answer that is not streamed; 0 sends none, but the Messages API has "
        "one at least each 240 s. After a line end a failure can only break the answer off, and OpenAI's clients then "
        "run the agent again.",
        gateway=True,
    )
    send_timeout: PositiveSeconds = field(
        120.0,
        "Seconds for a client to read what is sent; a client that reads nothing for longer is disconnected.",
        gateway=True,
    )
    head_timeout: PositiveSeconds = field(
        10.0, "Seconds for a client to send a request's first line and headers, once it has begun."
    )
    body_timeout: PositiveSeconds = field(30.0, "Seconds for a client to send its request's body.", gateway=True)
    idle_timeout: PositiveSeconds = field(
        75.0,
        "Seconds that a connection without a request is kept: longer than the 60 s of nginx, because a request that "
        "crosses the close would be lost.",
    )
    close_timeout: PositiveSeconds = field(
        5.0, "Seconds for the gateway to close a session, in the background after the answer.", gateway=True
    )
    drain_delay: Seconds = field(
        0.0,
        "Seconds between SIGTERM and the end of listening, in which /readyz answers 503: for a balancer that has to "
        "notice. Kubernetes needs some seconds, nginx none.",
    )
    drain_timeout: Seconds = field(
        30.0, "Seconds for running answers to end after SIGTERM; then each ends with an error."
    )
    models_ttl: Seconds = field(
        30.0, "Seconds that a list of models is cached; clients request it at every start.", gateway=True
    )
