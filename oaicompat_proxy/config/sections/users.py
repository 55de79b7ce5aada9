"""The person for whom a request is made. Pure: a section of the settings."""

from dataclasses import dataclass
from typing import Literal

from ..fields import field
from ..types import Networks, UserPlaces


@dataclass(frozen=True, kw_only=True)
class UserSettings:
    user_from: UserPlaces = field(
        (),
        "Place in a request that names the person for whom it is made: `header:NAME`, a field of the body, `user` or "
        "`safety_identifier`, or `jwt:CLAIM`, a claim of the caller's token. May be repeated: a claim counts before a "
        "header, and a header before a field. By default users are not told apart.",
        metavar="PLACE",
        reload=True,
    )
    trust_user_from: Networks = field(
        (),
        "Address or network whose connections may name a user by header; may be repeated. None by default: a proxy in "
        "between must remove the header from what its clients send. A key may have trusts_headers = true instead.",
        metavar="CIDR",
        reload=True,
    )
    log_users: Literal["hash", "plain", "none"] = field(
        "hash",
        "Form of a user in logs and traces: a `hash` under the session secret, which separates users and names none; "
        "`plain`, the name itself; or `none`.",
        reload=True,
    )
