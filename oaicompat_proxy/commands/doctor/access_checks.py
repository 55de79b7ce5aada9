"""Checks of access: the identity provider, trust in headers that name users, and where budgets are counted."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any

from yarl import URL

from ...core.addresses import is_loopback
from .finding import Finding
from .probe import Probe, new_client

ISSUER = "oaicompat-proxy: --jwt-issuer, or --jwt-jwks"
TRUST = "oaicompat-proxy: --trust-user-from CIDR, or trusts_headers = true in a key's entry"
SHARED = "oaicompat-proxy: --redis URL"


async def check_access(probe: Probe) -> list[Finding]:
    """Sends a made-up user in the headers that may name one: only an authenticating proxy should be trusted."""
    async with new_client() as client:
        found = await probe.get(client, "access")
        headers = dict.fromkeys(found["user_headers"], f"doctor-{uuid.uuid4().hex}")
        found = await probe.get(client, "access", headers) if headers else found
    return [*_issuer_findings(found["issuer"]), *_user_findings(probe, found), *_budget_findings(found)]


def _issuer_findings(issuer: Mapping[str, Any] | None) -> list[Finding]:
    if issuer is None:
        return []
    check, url = "identity provider", URL(issuer["url"])
    if issuer["error"]:
        return [Finding(check, "bad", f"the keys of {url} cannot be fetched: {issuer['error']}", ISSUER)]
    if not issuer["keys"]:
        text = f"{url} has no key that can verify tokens: RSA of 2048 bits, P-256, P-384, P-521 or Ed25519"
        return [Finding(check, "bad", text, ISSUER)]
    if url.scheme == "http" and not is_loopback(url.host or ""):
        text = f"the keys of {url} are fetched over http, so anybody on the way can replace them"
        return [Finding(check, "bad", text, "oaicompat-proxy: --jwt-issuer https://…")]
    return [Finding(check, "ok", f"{url} has {issuer['keys']} keys, for {', '.join(issuer['algorithms'])}")]


def _user_findings(probe: Probe, found: Mapping[str, Any]) -> list[Finding]:
    names = found["user_headers"]
    if not names:
        return []
    check = "users"
    if not found["user_headers_trusted"]:
        return [Finding(check, "warn", f"the header {names[0]} names no user: nobody is trusted to send it", TRUST)]
    if not found["user_named"]:
        return [Finding(check, "ok", f"a client that calls this address cannot name its user by {names[0]}")]
    text = f"a client that calls this address as you do may name any user by {names[0]}"
    if found["key_trusts_headers"] or probe.server_name == "oaicompat-proxy":
        return [Finding(check, "note", f"{text}; let only programs that authenticate their users call this address")]
    return [Finding(check, "bad", text, f'nginx: proxy_set_header {names[0]} "";')]


def _budget_findings(found: Mapping[str, Any]) -> list[Finding]:
    if not found["budgets"] or found["shared_counts"]:
        return []
    if found["workers"] > 1:
        text = f"each of {found['workers']} workers counts for itself, so a budget may be used {found['workers']} times"
        return [Finding("budgets", "warn", text, SHARED)]
    return [Finding("budgets", "note", "usage is counted in memory, so a restart of the process resets it", SHARED)]
