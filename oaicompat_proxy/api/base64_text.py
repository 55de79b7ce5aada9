"""Base64 text in a request: clients may leave out its padding and put white space into it, agents get it without both.

Source: RFC 4648; WHATWG Infra, "forgiving-base64 decode".
"""

from __future__ import annotations

import binascii

_WHITE_SPACE = b" \t\n\r\x0b\x0c"


def normalize(text: str) -> str:
    """`text`, padded and without white space. Raises ValueError if it is no base64."""
    if _is_strict(text):
        return text
    data = text.encode("ascii").translate(None, _WHITE_SPACE)
    data += b"=" * (-len(data) % 4)
    binascii.a2b_base64(data, strict_mode=True)
    return data.decode("ascii")


def _is_strict(text: str) -> bool:
    """Base64 text as RFC 4648 has it is used as it is, without a copy."""
    try:
        binascii.a2b_base64(text, strict_mode=True)
    except ValueError:
        return False
    return True


def decoded_size(text: str) -> int:
    """Bytes of the content. `text`: normalized."""
    return len(text) // 4 * 3 - text.count("=", -2)
