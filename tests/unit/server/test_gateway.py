"""A gateway under one configuration after the other: the parts that survive, and those that are replaced."""

from __future__ import annotations

import asyncio

from oaicompat_proxy.config.settings import Config
from oaicompat_proxy.core.caller import INTERNAL_CALLER
from oaicompat_proxy.core.signing import Secrets, SigningKeys
from oaicompat_proxy.server.gateway import Gateway
from oaicompat_proxy.server.runtime import DRAIN_POLL, GatewayRuntime
from oaicompat_proxy.server.sessions.lease import Lease, SessionRequest
from tests.support.fake_clock import with_fake_clock

KEYS = SigningKeys(Secrets([b"secret of a test"]), "")
CONFIG = Config(upstream="http://127.0.0.1:9", dialect="ag-ui")
"""Nothing listens there, and this dialect has no sessions to close: no test opens a connection."""


def reload(gateway: Gateway) -> GatewayRuntime:
    """Returns the runtime that was replaced."""
    replaced = gateway.runtime
    gateway.activate(gateway.new_runtime(CONFIG, KEYS))
    return replaced


async def lease_of(gateway: Gateway) -> Lease:
    return await gateway.runtime.sessions.lease(SessionRequest("", INTERNAL_CALLER, "default", messages=()))


@with_fake_clock
async def test_a_runtime_that_was_built_changes_nothing_before_it_is_activated() -> None:
    gateway = Gateway(CONFIG, KEYS, None)
    gateway.start()
    first = gateway.runtime
    second = gateway.new_runtime(CONFIG, KEYS)
    assert gateway.runtime is first
    gateway.activate(second)
    assert gateway.runtime is second
    await gateway.shutdown()


@with_fake_clock
async def test_runtimes_share_what_survives_a_reload() -> None:
    gateway = Gateway(CONFIG, KEYS, None)
    gateway.start()
    limiter = gateway.limiter
    assert reload(gateway).limiter is gateway.runtime.limiter is limiter
    await gateway.shutdown()


@with_fake_clock
async def test_counts_of_replaced_runtimes_are_kept() -> None:
    gateway = Gateway(CONFIG, KEYS, None)
    gateway.start()
    with await lease_of(gateway) as lease:
        replaced = reload(gateway)
        replaced.sessions.report_forgotten(lease)  # a request in flight
        gateway.runtime.sessions.report_forgotten(lease)
    assert gateway.counts()["forgotten"] == 2
    await asyncio.sleep(3 * DRAIN_POLL)
    assert not is_draining()
    assert gateway.counts()["forgotten"] == 2
    await gateway.shutdown()


@with_fake_clock
async def test_a_replaced_runtime_drains_until_its_last_run_is_over() -> None:
    gateway = Gateway(CONFIG, KEYS, None)
    gateway.start()
    with await lease_of(gateway):
        reload(gateway)
        await asyncio.sleep(100 * DRAIN_POLL)
        assert is_draining()
    await asyncio.sleep(2 * DRAIN_POLL)
    assert not is_draining()
    await gateway.shutdown()


@with_fake_clock
async def test_shutdown_does_not_wait_for_replaced_runtimes() -> None:
    gateway = Gateway(CONFIG, KEYS, None)
    gateway.start()
    with await lease_of(gateway):
        reload(gateway)
    reload(gateway)
    await gateway.shutdown()
    assert not is_draining()


def is_draining() -> bool:
    return any(task.get_name() == "drain gateway runtime" for task in asyncio.all_tasks())
