"""`GET /v1/diagnostics/access`: the facts that the doctor gets, and those that no response has."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from tests.support.proxy import StartProxy

ACCESS = "/v1/diagnostics/access"


async def test_it_needs_a_key_and_names_no_key_and_no_user(proxy: StartProxy, tmp_path: Path) -> None:
    digest = hashlib.sha256(b"sk-1").hexdigest()
    file = tmp_path / "keys.toml"
    file.write_text(
        f'[keys.secret-project]\nhash = "{digest}"\ntrusts_headers = true\nbudget = {{ runs_per_day = 1 }}\n'
    )
    front = await proxy(api_keys_file=str(file), user_from=("header:X-User", "user"))
    assert (await front.get(ACCESS)).status == 401
    received = await front.request("GET", ACCESS, headers={"Authorization": "Bearer sk-1", "X-User": "ada"})
    assert b"secret" not in received.body
    assert b"ada" not in received.body
    assert json.loads(received.body) == {
        "issuer": None,
        "user_headers": ["X-User"],
        "user_headers_trusted": True,
        "user_named": True,
        "key_trusts_headers": True,
        "budgets": True,
        "shared_counts": False,
        "workers": 1,
    }


async def test_without_diagnostics_there_is_none(proxy: StartProxy) -> None:
    assert (await (await proxy(diagnostics="off")).get(ACCESS)).status == 404
