"""Fixtures of the tests that ask AG-UI agents."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from openai import AsyncOpenAI

from tests.support.ag_ui_client import Front
from tests.support.proxy import StartProxy


@pytest.fixture
async def ag_ui(proxy: StartProxy) -> AsyncIterator[Front]:
    """Starts a proxy for AG-UI agents with these settings; returns the official client of it."""
    clients: list[AsyncOpenAI] = []

    async def start(**settings: Any) -> AsyncOpenAI:
        there = await proxy(dialect="ag-ui", **settings)
        clients.append(AsyncOpenAI(base_url=f"{there.base}/v1", api_key="any", max_retries=0))
        return clients[-1]

    yield start
    for each in clients:
        await each.close()
