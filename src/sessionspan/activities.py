"""PMDF's activities: the numbers that its popstore logs them under, and the bits of the mask that selects them.

From "Table 13-1" and "Table 13-2" of the popstore's manual; the names are those of ``popstore.h``, in lower case
and without ``POPSTORE_LOG_``.
"""

from __future__ import annotations

from typing import Final, NamedTuple

ALL: Final = -1  # the mask that lets everything through


class Activity(NamedTuple):
    """One type of activity: its ``log_type``, and its ``bit``; None when it is always logged."""

    number: int
    bit: int | None


ACTIVITIES: Final[dict[str, Activity]] = {
    "start": Activity(1, None),
    "end": Activity(2, None),
    "login_start": Activity(3, 0),
    "login_pw_match": Activity(4, 1),
    "login_pw_nomatch": Activity(5, 2),
    "login_end": Activity(6, 3),
    "msg_store": Activity(7, 4),
    "msg_open": Activity(8, 5),
    "msg_delete": Activity(9, 6),
    "user_create": Activity(10, 7),
    "user_delete": Activity(11, 8),
    "user_modify": Activity(12, 9),
}


def selected(mask: int) -> tuple[str, ...]:
    """The activities that *mask* lets through."""
    return tuple(name for name, (_, bit) in ACTIVITIES.items() if bit is None or mask >> bit & 1)


def parse_mask(text: str) -> int:
    """Parse a mask: a number as C has it (``-1``, ``96``, ``0x60``), or names of activities, comma separated."""
    if not text.strip():
        return ALL
    try:
        mask = int(text, 0)
    except ValueError:
        return _named(text)
    if not -(2**31) <= mask < 2**32:
        raise ValueError("must have 32 bits at most")
    return mask


def _named(text: str) -> int:
    mask = 0
    for name in filter(None, (part.strip().lower() for part in text.split(","))):
        activity = ACTIVITIES.get(name.removeprefix("popstore_log_"))
        if activity is None:
            raise ValueError(f"must be a number or a comma list of activities, and {name!r} is none")
        if activity.bit is not None:
            mask |= 1 << activity.bit
    return mask
