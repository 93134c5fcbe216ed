"""The ids of sessions and operations: UUIDs, without the object that `uuid.uuid4` makes for each."""

from __future__ import annotations

import os
from typing import Final

_VARIANT: Final = dict(zip("0123456789abcdef", "89ab" * 4, strict=True))  # the two top bits are 10


def new_uuid() -> str:
    """A new UUID of version 4 (RFC 9562 5.4) as text."""
    digits = os.urandom(16).hex()
    return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-{_VARIANT[digits[16]]}{digits[17:20]}-{digits[20:]}"
