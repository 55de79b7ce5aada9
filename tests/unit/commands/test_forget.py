"""`forget`, as its user runs it, against a real proxy."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

from click.testing import CliRunner, Result

from oaicompat_proxy.cli import main
from oaicompat_proxy.server.access.api_keys import new_entry
from tests.support.proxy import Proxy, StartProxy
from tests.support.scripted_gateway import Agent, run


async def forget(front: Proxy, *arguments: str) -> Result:
    command = ["forget", "--url", f"http://127.0.0.1:{front.port}", *arguments]
    return await asyncio.to_thread(CliRunner().invoke, main, command, prog_name="oaicompat-proxy")


async def test_list_and_delete(proxy: StartProxy, agent: Agent, tmp_path: Path) -> None:
    agent.plays(run("Hello"))
    file = tmp_path / "keys.toml"
    file.write_text(new_entry("ada", "ada") + new_entry("root", "root") + "forget = true\n")
    front = await proxy(api_keys_file=str(file))
    body = json.dumps({"model": "default", "input": "Hi"}).encode()
    await front.post(body, path="/v1/responses", headers={"Authorization": "Bearer ada"})
    of_ada = ("--api-key", "root", "--key", "ada")
    for arguments, count in ((("--list", *of_ada), 2), (of_ada, 2), (of_ada, 0)):
        result = await forget(front, *arguments)
        assert (result.exit_code, json.loads(result.output)["stored_responses"]) == (0, count)
    result = await forget(front, "--api-key", "ada", "--key", "root")
    assert (result.exit_code, "permission_denied" in result.output) == (1, True)


def test_nobody_answers() -> None:
    result = CliRunner().invoke(main, ["forget", "--url", "http://127.0.0.1:1"])
    assert result.exit_code == 1
    assert "127.0.0.1:1" in result.output
