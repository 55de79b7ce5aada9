"""Tokens of an identity provider, beside API keys. Pure: a section of the settings."""

from dataclasses import dataclass

from ..fields import field
from ..types import Seconds, Text, Texts, WebUrl


@dataclass(frozen=True, kw_only=True)
class SingleSignOnSettings:
    jwt_issuer: WebUrl = field(
        "",
        "Identity provider whose tokens are accepted beside API keys, as their claim iss names it, such as "
        "https://login.example.com/realms/main. Its keys are found by /.well-known/openid-configuration. Needs "
        "oaicompat-proxy[sso].",
        metavar="URL",
        reload=True,
    )
    jwt_audience: Texts = field(
        (),
        "Audience that a token must be meant for, as in its claim aud; may be repeated. Required with --jwt-issuer: "
        "the provider also signs tokens for other services.",
        metavar="NAME",
        reload=True,
    )
    jwt_key_claim: Text = field(
        "",
        "Claim that says which key's limits and scope a token has: the name of an entry of the keys file. By default "
        "azp, else client_id. A name without an entry has the default limits.",
        metavar="CLAIM",
        reload=True,
    )
    jwt_models_claim: Text = field(
        "",
        "Claim with the models that a token may use, as names or patterns: a list, or a text with spaces. A token "
        "without the claim may use none. By default only the key's entry counts.",
        metavar="CLAIM",
        reload=True,
    )
    jwt_jwks: WebUrl = field(
        "",
        "Address of the provider's keys (JWKS), if its openid-configuration does not name it.",
        metavar="URL",
        reload=True,
    )
    jwt_keys_ttl: Seconds = field(
        3600.0,
        "Seconds that the provider's last keys are used while the provider cannot be reached. Otherwise they are never "
        "older than ten minutes.",
        reload=True,
    )
