"""`oaicompat-proxy inspect FILE`: a file that is no recording gives an error of one line, and a recording is served."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from click.testing import CliRunner

from oaicompat_proxy.commands.inspect import inspect
from oaicompat_proxy.core.answer_options import AnswerOptions
from oaicompat_proxy.recordings.format import Recording, read
from oaicompat_proxy.server.inspection.file_server import serve_recording
from tests.support.scripted_gateway import PATIENCE, run

STREAM = b"".join(run("SECRET"))


@pytest.mark.parametrize(
    "data", [b"\x89PNG\r\n", b"", b'{"recording": 99}\n', b'{"recording": 1}\n{"ms": 1}\n', b"hello\n"]
)
def test_what_is_no_recording_is_refused_in_one_line(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "file").write_bytes(data)
    done = CliRunner().invoke(inspect, [str(tmp_path / "file")])
    assert done.exit_code == 2
    assert done.output.startswith("Error: ")
    assert done.output.count("\n") == 1


def test_a_recording_of_an_unknown_api_is_refused(tmp_path: Path) -> None:
    head = {"recording": 1, "manner": {"endpoint": "telegraph"}}
    (tmp_path / "file").write_text(f"{json.dumps(head)}\n{json.dumps({'ms': 1, 'native': 'data: {}'})}\n")
    done = CliRunner().invoke(inspect, [str(tmp_path / "file")])
    assert (done.exit_code, done.output.count("\n")) == (2, 1)
    assert "telegraph" in done.output


@contextlib.asynccontextmanager
async def served(recording: Recording, *, content: bool = False) -> AsyncIterator[str]:
    """The page's address."""
    url: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    serving = asyncio.create_task(serve_recording(recording, port=0, content=content, on_listening=url.set_result))
    async with asyncio.timeout(PATIENCE):
        yield await url
    serving.cancel()
    await asyncio.wait([serving])


async def get(url: str, **headers: str) -> tuple[int, Any]:
    async with aiohttp.ClientSession() as client, client.get(url, headers=headers) as answer:
        text = await answer.text()
        return answer.status, json.loads(text) if "json" in answer.content_type else text


@pytest.mark.parametrize("content", [False, True])
async def test_the_page_shows_the_recorded_run(content: bool) -> None:
    async with served(read(STREAM, AnswerOptions()), content=content) as url:
        status, page = await get(url)
        assert (status, "<script" in page) == (200, True)
        status, listed = await get(f"{url}/api/runs")
        assert (status, listed["source"], [row["id"] for row in listed["runs"]]) == (200, "file", ["recording"])
        _, shown = await get(f"{url}/api/runs/recording")
        assert shown["frames_total"] == len(run("SECRET"))
        assert ("SECRET" in json.dumps(shown)) is content
        assert (await get(f"{url}/api/runs/recording/replay"))[0] == 200
        assert (await get(f"{url}/api/runs", Host="evil.example"))[0] == 403
        assert (await get(f"{url}/api/runs", Origin="http://evil.example"))[0] == 403
        assert (await get(f"{url}/login"))[0] == 404


BROWSER = """#!{python}
import sys, urllib.request
url, _, place = sys.argv[1].partition("#")
page = urllib.request.urlopen(url, timeout=60).read().decode()
print("browser:", place, "<script" in page)
"""


@pytest.mark.slow
async def test_open_shows_the_page_to_a_browser_that_stays(tmp_path: Path) -> None:
    """One that `BROWSER` names, which asks for the page before its call returns."""
    (tmp_path / "file").write_bytes(STREAM)
    browser = tmp_path / "browser"
    browser.write_text(BROWSER.format(python=sys.executable))
    browser.chmod(0o755)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "oaicompat_proxy", "inspect", str(tmp_path / "file"), "--open"),
        env={**os.environ, "BROWSER": f"{browser} %s"},
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        assert process.stdout is not None
        async with asyncio.timeout(PATIENCE):
            assert (await process.stdout.readline()).startswith(b"the recorded run: http://127.0.0.1:")
            assert await process.stdout.readline() == b"browser: /run/recording True\n"
    finally:
        process.terminate()
        await process.wait()
