"""A small identity provider: its HTTP documents, its keys, and valid and invalid tokens."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import hmac
import json
import time
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from functools import cache
from typing import Any

import jwt
from aiohttp import web
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

AUDIENCE = "agents"
CONFIGURATION = "/.well-known/openid-configuration"
JWKS = "/jwks"


def segment(value: Any) -> str:
    """A segment of a token: base64url of the JSON, or of the string itself."""
    text = value if isinstance(value, str) else json.dumps(value)
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


class SigningKey:
    """A private key, and its public half as a JWK."""

    def __init__(self, kid: str, kind: str = "RS256", *, bits: int = 2048) -> None:
        self.kid, self.algorithm = kid, kind
        self.private: Any
        if kind.startswith("ES"):
            self.private = ec.generate_private_key(ec.SECP256R1())
        elif kind == "EdDSA":
            self.private = ed25519.Ed25519PrivateKey.generate()
        else:
            self.private = rsa.generate_private_key(65537, bits)

    def jwk(self, **more: Any) -> dict[str, Any]:
        algorithm = jwt.get_algorithm_by_name(self.algorithm)
        known = algorithm.to_jwk(self.private.public_key(), as_dict=True)  # type: ignore[union-attr]
        return {**known, "kid": self.kid, "use": "sig", **more}

    @property
    def pem(self) -> bytes:
        """The public key in PEM form."""
        return bytes(
            self.private.public_key().public_bytes(
                serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
            )
        )

    def sign(self, head: Any, claims: Any) -> str:
        """A token with this header and these claims, which may have any value."""
        text = f"{segment(head)}.{segment(claims)}"
        algorithm = jwt.get_algorithm_by_name(self.algorithm)
        signature = algorithm.sign(text.encode(), self.private)
        return f"{text}.{base64.urlsafe_b64encode(signature).decode().rstrip('=')}"


def sign_with_secret(head: Mapping[str, Any], claims: Any, secret: bytes) -> str:
    """A token whose signature is HS256."""
    text = f"{segment(head)}.{segment(claims)}"
    signature = hmac.new(secret, text.encode(), hashlib.sha256).digest()
    return f"{text}.{base64.urlsafe_b64encode(signature).decode().rstrip('=')}"


@cache
def _first_key() -> SigningKey:
    """One for all tests of a process: to make an RSA key takes longer than most tests do."""
    return SigningKey("k1")


class Issuer:
    """The provider. `fetches`: the number of requests for each document."""

    def __init__(self, key: SigningKey | None = None) -> None:
        self.url = ""
        self.keys: list[dict[str, Any]] = []
        self.key = key or _first_key()
        self.keys.append(self.key.jwk())
        self.fetches: Counter[str] = Counter()
        self.is_down = False
        self.hangs = asyncio.Event()
        """While it is cleared, requests for the keys get no response."""
        self.hangs.set()
        self.jwks: bytes | None = None
        """The body of the keys' response, if it is not made of `keys`."""
        self.moved_to = ""
        """If set, requests for the keys are redirected to this address."""
        self.endless = False
        """The keys' response is endless white space."""
        self.configuration: dict[str, Any] = {}
        """Members that replace those of the configuration document."""

    def claims(self, **more: Any) -> dict[str, Any]:
        """The claims of a valid token, changed by `more`; claims of None are left out."""
        now = int(time.time())
        known = {"iss": self.url, "aud": AUDIENCE, "exp": now + 300, "iat": now, "sub": "ada", "azp": "web", **more}
        return {name: value for name, value in known.items() if value is not None}

    def token(self, key: SigningKey | None = None, /, *, head: Mapping[str, Any] | None = None, **claims: Any) -> str:
        signer = key or self.key
        known = {"alg": signer.algorithm, "kid": signer.kid, "typ": "JWT", **(head or {})}
        return signer.sign({name: value for name, value in known.items() if value is not None}, self.claims(**claims))

    async def configured(self, request: web.Request) -> web.Response:
        self.fetches[CONFIGURATION] += 1
        if self.is_down:
            return web.Response(status=503)
        return web.json_response({"issuer": self.url, "jwks_uri": self.url + JWKS, **self.configuration})

    async def key_set(self, request: web.Request) -> web.StreamResponse:
        self.fetches[JWKS] += 1
        await self.hangs.wait()
        if self.is_down:
            return web.Response(status=503)
        if self.moved_to:
            return web.Response(status=302, headers={"Location": self.moved_to})
        if self.endless:
            return await _send_spaces(request)
        return web.Response(body=self.jwks if self.jwks is not None else json.dumps({"keys": self.keys}).encode())


async def _send_spaces(request: web.Request) -> web.StreamResponse:
    """Sends white space until the client closes the connection."""
    response = web.StreamResponse()
    await response.prepare(request)
    with contextlib.suppress(ConnectionError):
        while True:
            await response.write(b" " * 65536)
    return response


@asynccontextmanager
async def serving_issuer(key: SigningKey | None = None) -> AsyncIterator[Issuer]:
    """`key`: instead of the one that the issuers of all tests share."""
    issuer, app = Issuer(key), web.Application()
    app.router.add_get(CONFIGURATION, issuer.configured)
    app.router.add_get(JWKS, issuer.key_set)
    runner = web.AppRunner(app, shutdown_timeout=0)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    issuer.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield issuer
    finally:
        issuer.hangs.set()
        await runner.cleanup()


def sso_settings(issuer: Issuer, **more: Any) -> dict[str, Any]:
    """Settings of a proxy that accepts this issuer's tokens."""
    return {"jwt_issuer": issuer.url, "jwt_audience": (AUDIENCE,), **more}
