"""The address to listen on, processes, log, metrics and traces. Pure: a section of the settings."""

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field

from ..fields import field
from ..types import BindAddress, Count, FileMode, Networks, Number, PathPrefix, PositiveCount, Switch, Text


@dataclass(frozen=True, kw_only=True)
class ProcessSettings:
    host: BindAddress = field(
        "127.0.0.1",
        "Address to listen on. The default is the loopback address, which nginx on the same machine reaches.",
        metavar="ADDRESS",
    )
    port: Annotated[Count, Field(le=65535)] = field(8700, "Port to listen on; 0 takes any free one.", metavar="PORT")
    unix_socket: Text = field("", "Socket file to listen on, instead of --host and --port.", metavar="PATH")
    unix_socket_mode: FileMode = field(
        "660",
        "Permissions of the socket file, in octal: who may connect. nginx needs to be in its group.",
        metavar="MODE",
    )
    workers: PositiveCount = field(
        1, "Processes that serve, for more than one core. Several processes are run by gunicorn.", metavar="N"
    )
    prefix: PathPrefix = field(
        "/v1",
        "Path in front of every endpoint; OpenAI's clients expect /v1.",
        metavar="PATH",
        gateway=True,
        reload=False,
    )
    log_level: Literal["debug", "info", "warning", "error"] = field(
        "info", "Least severe level that is logged.", reload=True
    )
    log_format: Literal["text", "json"] = field(
        "text", "Form of log lines: text for people, or one JSON object for each line."
    )
    log_sample: Annotated[Number, Field(ge=0, le=1)] = field(
        1.0, "Share of the successful runs that are logged, from 0 to 1; all other runs are always logged."
    )
    metrics_from: Networks = field(
        ("127.0.0.0/8", "::1/128"),
        "Address or network that may read /metrics; may be repeated. The default is this machine; clients that come "
        "through nginx need an entry, too.",
        metavar="CIDR",
    )
    trace: Switch = field(
        False, "Send a trace of each run to OTEL_EXPORTER_OTLP_ENDPOINT; needs oaicompat-proxy[tracing]."
    )
    trace_content: Switch = field(
        False, "Include prompts and answers in traces: everyone who reads traces can then read conversations."
    )
