"""A lack of open files is logged once a minute; other faults of the loop as ever."""

from __future__ import annotations

import asyncio
import errno
import logging

import pytest

from oaicompat_proxy.server.http import open_files
from oaicompat_proxy.server.http.open_files import open_files_handler

LACK = {"message": "socket.accept() out of system resource", "exception": OSError(errno.EMFILE, "Too many open files")}


async def test_it_is_logged_again_after_a_while(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop = asyncio.get_running_loop()
    with open_files_handler():
        for _ in range(3):
            loop.call_exception_handler(LACK)
        assert len(caplog.records) == 1
        monkeypatch.setattr(open_files, "LOG_INTERVAL", 0.0)
        loop.call_exception_handler(LACK)
        assert len(caplog.records) == 2
    assert loop.get_exception_handler() is None


async def test_other_errors_are_logged_as_before(caplog: pytest.LogCaptureFixture) -> None:
    with open_files_handler():
        loop = asyncio.get_running_loop()
        for error in (OSError(errno.EPIPE, "Broken pipe"), ValueError("x")):
            loop.call_exception_handler({"message": "something else", "exception": error})
    assert [record.levelno for record in caplog.records] == [logging.ERROR] * 2
