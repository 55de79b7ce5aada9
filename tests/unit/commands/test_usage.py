"""`usage`, as its user runs it, against a real proxy."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

from click.testing import CliRunner, Result

from oaicompat_proxy.cli import main
from oaicompat_proxy.server.access.api_keys import new_entry
from tests.support.proxy import Proxy, StartProxy, chat_body
from tests.support.scripted_gateway import Agent, run


async def usage(front: Proxy, *arguments: str) -> Result:
    command = ["usage", "--url", f"http://127.0.0.1:{front.port}", *arguments]
    return await asyncio.to_thread(CliRunner().invoke, main, command, prog_name="oaicompat-proxy")


async def test_who_used_what(proxy: StartProxy, agent: Agent, tmp_path: Path) -> None:
    agent.plays(run("Hello"))
    file = tmp_path / "keys.toml"
    file.write_text(
        new_entry("app", "app")
        + "budget = { tokens_per_day = 50 }\nuser_budget = { runs_per_month = 9 }\n"
        + new_entry("boss", "boss")
        + "usage = true\n"
    )
    front = await proxy(api_keys_file=str(file), user_from=("user",))
    headers = {"Authorization": "Bearer app"}
    for user in ("ada", "ada", "bob\t"):
        assert (await front.post(chat_body(user=user), headers=headers)).status == (200)
    result = await usage(front, "--api-key", "boss")
    assert result.exit_code == 0
    day, month = result.output.split("\n\n")
    assert [line.split() for line in day.splitlines()[1:]] == [
        ["key", "user", "tokens", "runs"],
        ["app", "-", "54", "of", "50", "3"],
        ["app", "ada", "36", "2"],
        ["app", "bob", "18", "1"],
    ]
    assert ["app", "ada", "36", "2", "of", "9"] in [line.split() for line in month.splitlines()]
    listed = json.loads((await usage(front, "--api-key", "boss", "--json")).output)
    assert listed["day"]["used"][0] == {"key": "app", "user": None, "tokens": 54, "runs": 3, "tokens_limit": 50}


async def test_a_key_that_may_not_see_it(proxy: StartProxy) -> None:
    result = await usage(await proxy(api_key=("app",)), "--api-key", "app")
    assert (result.exit_code, "permission_denied" in result.output) == (1, True)


def test_nobody_answers() -> None:
    result = CliRunner().invoke(main, ["usage", "--url", "http://127.0.0.1:1"])
    assert result.exit_code == 1
    assert "127.0.0.1:1" in result.output
