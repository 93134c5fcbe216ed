"""Marked credentials, and a search for them in whatever left, plain and encoded.

One implementation for the tests and for ``sessionspan doctor --canary``.
"""

from __future__ import annotations

import base64
import urllib.parse
from collections.abc import Iterator, Sequence


def encodings(secret: bytes) -> Iterator[bytes]:
    """The forms in which *secret* would be readable: plain, hex, URL-encoded, base64 at any alignment."""
    yield secret
    yield secret.hex().encode()
    yield urllib.parse.quote_from_bytes(secret, safe="").encode()
    yield urllib.parse.quote_from_bytes(secret).encode()
    for shift in range(3):
        encoded = base64.b64encode(b"\0" * shift + secret)
        # Without the characters that depend on what stands beside the secret.
        yield encoded[(0, 2, 3)[shift] : len(encoded) // 4 * 4 - 4]


def found_in(haystack: bytes, secrets: Sequence[bytes]) -> list[bytes]:
    """The forms of *secrets* that occur in *haystack*, in any case."""
    low = haystack.lower()
    return [form for secret in secrets for form in encodings(secret) if form.lower() in low]
