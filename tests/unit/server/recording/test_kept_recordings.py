"""Recordings are listed and deleted by their owner, over a socket."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

from oaicompat_proxy.core.caller import Owner, owner_mark
from oaicompat_proxy.server.access.api_keys import new_entry
from oaicompat_proxy.server.recording.directory import open_directory
from oaicompat_proxy.server.recording.kept_recordings import RecordingData
from tests.support.proxy import StartProxy, chat_body
from tests.support.scripted_gateway import Agent, run

KEPT = "/v1/kept_data"


async def test_one_user_of_one_key(proxy: StartProxy, agent: Agent, tmp_path: Path) -> None:
    agent.plays(run("Hello"))
    keys, records = tmp_path / "keys.toml", tmp_path / "records"
    keys.write_text(new_entry("app", "app") + new_entry("root", "root") + "forget = true\n")
    front = await proxy(api_keys_file=str(keys), record=str(records), user_from=("user",))
    for user in ("ada", "bob", "ada", ""):
        headers = {"Authorization": "Bearer app", "X-Request-Id": "r" * 100}
        assert (await front.post(chat_body(**({"user": user} if user else {})), headers=headers)).status == 200
    body = json.dumps({"model": "default", "input": "Hi", "user": "ada"}).encode()
    assert (await front.post(body, path="/v1/responses", headers={"Authorization": "Bearer app"})).status == 200
    await asyncio.to_thread(open_directory(records, total=2**30).wait)

    async def ask(method: str, query: str, key: str = "root") -> Any:
        received = await front.request(method, KEPT + query, headers={"Authorization": f"Bearer {key}"})
        return json.loads(received.body)["kinds"] if received.status == 200 else received.status

    of_ada, of_bob = "?key=app&user=ada", "?key=app&user=bob"
    nothing = {"stored_responses": 0, "sessions": 0, "answers_in_memory": 0, "recordings": 0}
    all_of_ada = {"stored_responses": 2, "sessions": 1, "answers_in_memory": 0, "recordings": 3}
    assert await ask("GET", of_ada) == all_of_ada
    assert await ask("GET", of_bob) == nothing | {"recordings": 1}
    assert [await ask("DELETE", query, "app") for query in (of_ada, "?user=ada", "?key=root")] == [403, 403, 403]
    assert await ask("DELETE", of_ada) == all_of_ada
    assert await ask("GET", of_ada) == nothing
    assert await ask("GET", of_bob) == nothing | {"recordings": 1}
    assert await ask("DELETE", "", "app") == nothing | {"recordings": 1}, "a key without permission has no users"
    assert len(list(records.iterdir())) == 1
    assert await ask("DELETE", "?key=app") == nothing | {"recordings": 1}, "a key is all of its users"
    assert not list(records.iterdir())


async def test_other_files_and_a_missing_directory_are_nobodys(tmp_path: Path) -> None:
    kept = RecordingData(tmp_path / "none")
    assert (await kept.count(Owner("s")), await kept.delete(Owner("s"))) == (0, 0)
    (tmp_path / f"notes-{owner_mark('s')}abcdef.jsonl").write_text("mine")
    kept = RecordingData(tmp_path)
    assert (await kept.count(Owner("s")), await kept.delete(Owner("s"))) == (0, 0)
