"""Dialogues for the tests of observers, as people write them."""

from __future__ import annotations

Turn = tuple[str, bytes]


def dialogue(text: str) -> list[Turn]:
    """Turns from lines ``C: ...`` and ``S: ...``."""
    turns = []
    for line in text.strip().splitlines():
        side, _, rest = line.strip().partition(": ")
        turns.append((side, rest.encode() + b"\r\n"))
    return turns
