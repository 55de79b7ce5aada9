"""Permissions of callers, and limits of their requests and runs. Pure: a section of the settings."""

from dataclasses import dataclass

from ..fields import field
from ..types import Count, HostNames, Keys, Networks, Origins, PositiveCount, Seconds, Switch, Text


@dataclass(frozen=True, kw_only=True)
class AccessSettings:
    cors: Origins = field(
        "",
        "Origins whose pages may call from a browser, separated by commas, or *; none by default. Without keys, pages "
        "of other origins are refused.",
        metavar="ORIGINS",
        reload=True,
    )
    allowed_host: HostNames = field(
        (),
        "Host name that clients may call where no key is required, as in the `Host` header, without the port; may be "
        "repeated, * for any. `localhost` and IP addresses are always allowed. With --no-auth beyond the loopback "
        "every name is allowed, unless one is given here.",
        metavar="NAME",
        reload=True,
    )
    api_key: Keys = field(
        (),
        "Key that a client must send; may be repeated. Everyone on the machine can read a command line, so prefer the "
        "environment or the file.",
        metavar="KEY",
        secret=True,
        reload=True,
    )
    api_keys_file: Text = field(
        "",
        "TOML file with the names, hashes and limits of keys. A change applies within a second; an invalid file is "
        "logged and ignored.",
        metavar="FILE",
        reload=True,
    )
    no_auth: Switch = field(
        False,
        "Require no key, although other machines can reach the address. On the loopback no key is required anyway.",
        reload=True,
    )
    pass_authorization: Switch = field(
        False,
        "Send the client's Authorization header to the gateway, in place of the token. Without this setting the "
        "header is sent nowhere.",
        reload=True,
    )
    trusted_proxy: Networks = field(
        ("127.0.0.0/8", "::1/128"),
        "Address or network whose X-Forwarded-For header is trusted; may be repeated. The default is this machine, "
        "for nginx beside the proxy.",
        metavar="CIDR",
        reload=True,
    )
    requests_per_minute: Count = field(
        0,
        "Requests that a key may make in a minute, unless the keys file says otherwise; 0 for no limit. Counted in "
        "Redis if there is one. If Redis fails, each worker counts alone, so that no request is refused for it.",
        reload=True,
    )
    tokens_estimate: Count = field(
        1000,
        "Tokens that a budget in the keys file counts for a run whose agent reports no usage, and for a run that has "
        "not ended: a short answer with its prompt.",
        reload=True,
    )
    max_runs: PositiveCount = field(
        10_000, "Runs at the same time in a worker. Each takes two sockets and about 40 KB.", gateway=True, reload=False
    )
    max_runs_per_key: Count = field(
        0, "Runs of one key at the same time, unless the keys file says otherwise; 0 for no limit per key.", reload=True
    )
    max_waiting: Count = field(
        1000,
        "Requests in a worker that wait until another run ends, in their session or in any; more are refused.",
        gateway=True,
        reload=False,
    )
    max_waiting_bytes: Count = field(
        256 * 1024 * 1024,
        "Bytes of the bodies of waiting requests. A conversation needs several times its bytes of memory.",
        gateway=True,
        reload=False,
    )
    queue_wait: Seconds = field(
        10.0,
        "Seconds that a request waits for a free run. A client that would wait longer should try another server.",
        gateway=True,
        reload=False,
    )
