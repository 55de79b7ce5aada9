"""The lock and the permit of a lease, and their release."""

from __future__ import annotations

import re
from typing import Any

from oaicompat_proxy.server.sessions.lease import Lease, new_session_name


class Permit:
    def __init__(self) -> None:
        self.released = 0

    def release(self) -> None:
        self.released += 1


def new_lease() -> Lease:
    upstream: Any = None
    return Lease("demo", "demo:s1", upstream, history="fold")


def test_a_permit_is_released() -> None:
    lease = new_lease()
    lease.release_permit()
    permit: Any = Permit()
    lease.permit = permit
    lease.release_permit()
    assert permit.released == 1


async def test_a_session_is_given_back_once() -> None:
    lease, released = new_lease(), list[str]()

    async def release() -> None:
        released.append(lease.key)

    await lease.release_lock()
    lease.hold_lock(release)
    await lease.release_lock()
    await lease.release_lock()
    assert released == ["demo:s1"]


def test_a_new_session_name_is_unguessable_and_chooses_no_app() -> None:
    names = [new_session_name() for _ in range(1000)]
    assert len(set(names)) == 1000
    assert all(re.fullmatch(r"oc-[\w-]{32}", name) for name in names)
