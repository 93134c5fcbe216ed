"""The id of this run of the program; a forked child is a run of its own."""

from __future__ import annotations

import base64
import os
from typing import Final

_LENGTH: Final = 10  # in base 32: as long as those that PMDF writes, and fewer than the 20 that it allows

_id: str | None = None


def log_id() -> str:
    """The id: the same for all that happens in this process, and no other's."""
    global _id
    if _id is None:
        _id = base64.b32encode(os.urandom(_LENGTH))[:_LENGTH].decode()
    return _id


def _after_fork() -> None:
    global _id
    _id = None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
