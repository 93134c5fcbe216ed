"""Places in a text, and the text without what stands there."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, TypeAlias

Place: TypeAlias = tuple[int, int]  # from, to: a slice of the text

REMOVED: Final = "***"


def without(text: str, places: Iterable[Place]) -> str:
    """*text* with `REMOVED` in each of *places*; those that overlap or touch become one."""
    kept: list[str] = []
    done = 0
    for start, stop in _merged(places):
        kept += (text[done:start], REMOVED)
        done = stop
    return "".join((*kept, text[done:]))


def _merged(places: Iterable[Place]) -> list[Place]:
    merged: list[Place] = []
    for start, stop in sorted(place for place in places if place[0] < place[1]):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(stop, merged[-1][1]))
        else:
            merged.append((start, stop))
    return merged
