"""Verifies tokens: signature, issuer, audience, time. PyJWT does the cryptography.

The head of a token is untrusted until the signature is verified: it can only choose one of the issuer's own keys, and
one of this key's algorithms. `jku`, `x5u` and `jwk` are ignored. Only algorithms with a public key are accepted, so no
public key can be used as a secret (RFC 8725, 2.1 and 3.1 to 3.5).

PyJWT is imported where it is used, since it is installed only with the extra `sso`.

Source: RFC 7515, 7517, 7519, 8725 and 9068.
"""

from __future__ import annotations

import base64
import binascii
import json
import time
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from ...core.errors import InvalidToken

RSA = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")
CURVES = {"P-256": "ES256", "P-384": "ES384", "P-521": "ES512", "Ed25519": "EdDSA"}
ALGORITHMS = frozenset([*RSA, *CURVES.values()])

TYPES = frozenset(["", "jwt", "at+jwt", "application/jwt", "application/at+jwt"])
"""The accepted types; other tokens of an issuer, such as logout tokens, give no access."""

PUBLIC = frozenset(["kty", "n", "e", "crv", "x", "y"])
"""The members of a public key."""

MIN_RSA_BITS, MAX_RSA_BITS = 2048, 16384
"""OpenSSL does not verify signatures of larger keys."""
MAX_KEYS = 100
"""Keys of an issuer that are read."""

SKEW = 5
"""Seconds that the issuer's clock may be ahead."""

EXPIRED = "The token has expired."

MAX_SEGMENT = 64 * 1024
"""Characters of a part of a token; no header within `--max-line` exceeds it."""


class Head(NamedTuple):
    """The head of a token that is not verified yet. `kid`: "" if the token names no key."""

    algorithm: str
    kid: str


class IssuerKey(NamedTuple):
    """A public key of the issuer, and the algorithms for which it may be used."""

    kid: str
    public: Any
    algorithms: frozenset[str]


def looks_like_token(key: str) -> bool:
    """Whether a client's key has the form of a token."""
    return key.count(".") == 2 and key.startswith("ey")


def read_head(token: str) -> Head:
    """Raises InvalidToken."""
    head = _read_object(token.partition(".")[0])
    algorithm, kid, kind = head.get("alg"), head.get("kid", ""), head.get("typ", "")
    if not isinstance(algorithm, str) or algorithm not in ALGORITHMS:
        raise InvalidToken("The token is signed in a way that this server does not accept.")
    if "crit" in head or not isinstance(kid, str) or not isinstance(kind, str) or kind.lower() not in TYPES:
        raise InvalidToken("The token is of a kind that this server does not accept.")
    return Head(algorithm, kid)


def read_keys(text: bytes) -> list[IssuerKey]:
    """The keys of a JWK set that can verify tokens; others are left out. Raises ValueError if it is no JWK set."""
    document = json.loads(text)
    members = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(members, list):
        raise ValueError("it has no keys")
    found = (_read_key(each) for each in members[:MAX_KEYS] if isinstance(each, dict))
    return [key for key in found if key is not None]


def read_keys_url(text: bytes, issuer: str) -> str:
    """The URL of the keys in an issuer's configuration. Raises ValueError if it has none, or if an issuer at `https://`
    has its keys at `http://`, where anybody between could replace them.
    """
    document = json.loads(text)
    if not isinstance(document, dict) or document.get("issuer") != issuer:
        raise ValueError("it is of another issuer; the names must be equal in every character")
    url = document.get("jwks_uri")
    schemes = ("https://",) if issuer.startswith("https://") else ("https://", "http://")
    if not isinstance(url, str) or not url.startswith(schemes):
        raise ValueError(f"its jwks_uri must begin with {' or '.join(schemes)}")
    return url


def find_key(keys: Sequence[IssuerKey], head: Head) -> IssuerKey | None:
    """The key that a token names; if it names none, the only key that fits; else None."""
    fitting = [each for each in keys if head.algorithm in each.algorithms and head.kid in ("", each.kid)]
    return fitting[0] if fitting and (head.kid or len(fitting) == 1) else None


def verify(token: str, head: Head, key: IssuerKey, *, issuer: str, audience: Sequence[str]) -> Mapping[str, Any]:
    """The claims of the token. Raises InvalidToken."""
    import jwt

    try:
        claims: Mapping[str, Any] = jwt.decode(
            token,
            key.public,
            algorithms=[head.algorithm],
            issuer=issuer,
            audience=audience,
            leeway=SKEW,
            options={"require": ["exp", "iss", "aud"]},
        )
        _read_object(token.split(".")[1])
        check_expiry(claims)
    except jwt.ExpiredSignatureError:
        raise InvalidToken(EXPIRED) from None
    except jwt.ImmatureSignatureError:
        raise InvalidToken("The token is not valid yet.") from None
    except (jwt.InvalidAudienceError, jwt.MissingRequiredClaimError):
        raise InvalidToken("The token is not meant for this server.") from None
    except jwt.InvalidIssuerError:
        raise InvalidToken("The token is of another issuer.") from None
    except (jwt.PyJWTError, ValueError, TypeError, OverflowError, RecursionError):
        raise InvalidToken("The token is not valid.") from None
    return claims


def check_expiry(claims: Mapping[str, Any]) -> None:
    """Raises InvalidToken if the token has expired; `exp` must be a number. SKEW does not extend a token's life."""
    if int(claims["exp"]) <= time.time():
        raise InvalidToken(EXPIRED)


def _read_object(segment: str) -> dict[str, Any]:
    """Decodes a part of a token: a JSON object without duplicate names. Raises InvalidToken."""
    try:
        if len(segment) > MAX_SEGMENT:
            raise ValueError
        data = base64.b64decode(segment + "=" * (-len(segment) % 4), altchars=b"-_", validate=True)
        found = json.loads(data, object_pairs_hook=_without_duplicates, parse_constant=_refuse)
        if not isinstance(found, dict):
            raise ValueError
    except (ValueError, binascii.Error, RecursionError):
        raise InvalidToken("The token cannot be read.") from None
    return found


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        raise ValueError
    return members


def _refuse(word: str) -> None:
    raise ValueError(word)


def _read_key(members: Mapping[str, Any]) -> IssuerKey | None:
    """The key of a JWK; None if it is not public, is for another use, or is too weak."""
    import jwt

    try:
        kid, uses = members.get("kid", ""), members.get("key_ops", ["verify"])
        algorithms = _algorithms_of(members)
        if not algorithms or not isinstance(kid, str) or members.get("use", "sig") != "sig" or "verify" not in uses:
            return None
        public = jwt.PyJWK({name: value for name, value in members.items() if name in PUBLIC}, min(algorithms)).key
    except (jwt.PyJWTError, ValueError, TypeError, KeyError):
        return None
    if members["kty"] == "RSA" and not MIN_RSA_BITS <= public.key_size <= MAX_RSA_BITS:
        return None
    return IssuerKey(kid, public, algorithms)


def _algorithms_of(members: Mapping[str, Any]) -> frozenset[str]:
    """The algorithms of a JWK by its type; only `alg`, if it has one."""
    kind, own = members.get("kty"), members.get("alg")
    if kind == "RSA":
        fitting = frozenset(RSA)
    else:
        fitting = frozenset(
            [CURVES[curve]] if kind in ("EC", "OKP") and (curve := members.get("crv")) in CURVES else ()
        )
    return fitting if own is None else fitting & {own}
