"""Tokens of an identity provider that somebody else wrote, in front of a real proxy: discovery, keys, rotation.

`scripts/clients` runs this. The forgeries are in hostile/test_forged_tokens.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import Request, urlopen

import pytest

from tests.support.paths import ROOT
from tests.support.processes import free_port, proxy

pytestmark = [pytest.mark.timeout(300), pytest.mark.quick]

PACKAGE = "oidc-provider@9"


@pytest.fixture(scope="module")
def installed() -> Path:
    """The provider's program beside its package."""
    place = ROOT / ".clients" / "identity-provider"
    place.mkdir(parents=True, exist_ok=True)
    subprocess.run(
        ["npm", "install", "--silent", "--no-audit", "--no-fund", PACKAGE], cwd=place, check=True, timeout=200
    )
    shutil.copy(Path(__file__).parent / "identity_provider.mjs", place)
    return place


@contextmanager
def provider(installed: Path, port: int, kid: str, algorithm: str) -> Iterator[str]:
    program = ["node", str(installed / "identity_provider.mjs"), str(port), kid, algorithm]
    with subprocess.Popen(program, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        try:
            assert process.stdout is not None
            yield process.stdout.readline().strip()
        finally:
            process.kill()


def token_of(issuer: str, client: str, audience: str = "agents") -> str:
    fields = {
        "grant_type": "client_credentials",
        "resource": f"urn:{audience}",
        "client_id": client,
        "client_secret": f"secret-of-{client}",
        "scope": "run",
    }
    with urlopen(Request(f"{issuer}/token", urlencode(fields).encode())) as response:
        return str(json.load(response)["access_token"])


def status_of(base: str, token: str) -> int:
    body = {"model": "default", "messages": [{"role": "user", "content": "Hi"}]}
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    try:
        with urlopen(Request(f"{base}/v1/chat/completions", json.dumps(body).encode(), headers)) as response:
            return int(response.status)
    except HTTPError as error:
        return error.code


@pytest.mark.parametrize("algorithm", ["RS256", "ES256"])
def test_tokens_of_a_real_identity_provider(installed: Path, algorithm: str) -> None:
    port = free_port()
    issuer = f"http://127.0.0.1:{port}"
    with proxy("--jwt-issuer", issuer, "--jwt-audience", "agents") as base:
        with provider(installed, port, "k1", algorithm) as listening:
            assert listening == issuer
            old = token_of(issuer, "web")
            assert [status_of(base, each) for each in (old, token_of(issuer, "app"))] == [200, 200]
            assert status_of(base, token_of(issuer, "web", "others")) == 401
            assert status_of(base, old[:-8] + "AAAAAAAA") == 401
        assert status_of(base, old) == 200, "the last keys hold while the provider is down"
        with provider(installed, port, "k2", algorithm):
            assert status_of(base, token_of(issuer, "web")) == 200, "a rotated key is found"
            assert status_of(base, old) == 401, "the old key has left"
