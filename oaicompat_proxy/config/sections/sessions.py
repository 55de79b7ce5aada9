"""Sessions of the gateway, and tools of the agent that wait for a person. Pure: a section of the settings."""

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field

from ..fields import field
from ..types import Number, PositiveCount, PositiveSeconds, Seconds, Secrets, SessionPlaces, Text


@dataclass(frozen=True, kw_only=True)
class SessionSettings:
    session_from: SessionPlaces = field(
        ("x-session-id",),
        "Place in a request that names its session: `x-session-id` or `header:NAME` for a header; `user`, "
        "`prompt_cache_key` or `metadata.session_id` for a field; `none` for no place. May be repeated; the first "
        "place that has a name counts. With the default, the session that Claude Code names counts, too.",
        metavar="PLACE",
        gateway=True,
    )
    session_names: Literal["scoped", "native"] = field(
        "scoped",
        "Meaning of a request's session name: `scoped`, a session of this proxy, separate for each API key; `native`, "
        "for one trusted user, the gateway's own session with this key, which another front end may have begun. If API "
        "keys are required, native names need native_sessions = true in the entry of the API key.",
        gateway=True,
    )
    sessions: Literal["fresh", "recognise"] = field(
        "fresh",
        "Session of a request that names none: `fresh`, a new one that is closed after the answer; `recognise`, the "
        "session that has answered the same conversation, if there is one.",
        gateway=True,
        reload=False,
    )
    session_secret: Secrets = field(
        (),
        "Secret that signs names of sessions and ids of questions, the same for all workers and replicas, such as the "
        "output of openssl rand -hex 32. May be repeated: the first signs, the others verify. By default derived from "
        "--upstream-token; without a token it is random, and stored in Redis if there is one.",
        metavar="TEXT",
        secret=True,
        gateway=True,
    )
    session_secret_file: Text = field(
        "",
        "File with session secrets, one on each line, the newest first. It is created with a random secret if it is "
        "missing. Without these settings, named sessions and open questions may end with the process.",
        metavar="FILE",
        gateway=True,
    )
    session_wait: Seconds = field(
        10.0, "Seconds that a request waits for the previous run in its session, before it gets 409.", gateway=True
    )
    session_drain: PositiveSeconds = field(
        300.0, "Seconds that a run continues without its client, in a session that keeps its history.", gateway=True
    )
    session_ttl: Annotated[Number, Field(ge=1)] = field(
        3600.0,
        "Seconds that a session whose conversation may continue is kept after its last answer: a pause of an hour.",
        gateway=True,
        reload=False,
    )
    max_sessions: PositiveCount = field(
        10_000,
        "Sessions that are kept for --session-ttl; the gateway holds the history of each in memory.",
        gateway=True,
        reload=False,
    )
    redis: Text = field(
        "",
        "Redis that shares session locks and known conversations between workers, such as redis://127.0.0.1/0.",
        metavar="URL",
        secret=True,
    )
    confirmations: Literal["ask", "deny", "approve"] = field(
        "deny",
        "What happens when a tool of the agent waits for a person: `deny` ends the run with an error, `ask` asks the "
        "client by a tool call, `approve` approves it.",
        gateway=True,
    )
    confirmation_ttl: Annotated[Number, Field(ge=1)] = field(
        3600.0, "Seconds that the client has to answer a question of --confirmations ask.", gateway=True
    )
    confirmation_wait: PositiveSeconds = field(
        30.0,
        "Seconds to wait for the next event of a run after a confirmation, unless the gateway says that the run "
        "continues; some gateways stop sending its events.",
        gateway=True,
    )
