"""How much of a device's text leaves: its head and its tail, in whole lines."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final, NamedTuple

LIMIT: Final = 4096  # bytes of UTF-8
GAP: Final = re.compile(r"\[\.\.\. [0-9]+ bytes left out \.\.\.\]")
_LINE: Final = re.compile(r"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+")


class Cut(NamedTuple):
    """A text as far as it may leave.

    Args:
        text: head and tail, with a line between that says how much was left out; not redacted yet.
        size: of the whole text, in bytes of UTF-8.
        truncated: whether something was left out.
    """

    text: str
    size: int
    truncated: bool


def cut(text: str, limit: int = LIMIT) -> Cut:
    """*text* in at most *limit* bytes of UTF-8: half of it from the head, half from the tail.

    Only whole lines are kept, so that what is redacted after the cut is never the half of a secret: a line that
    does not fit is left out as a whole, and of a key of many lines BEGIN or END is still there.
    """
    size = _size(text)
    if size <= limit:
        return Cut(text, size, False)
    room = limit - len(_gap(size))
    if room <= 0:
        return Cut("", size, True)
    # A character has a byte at least. So each window is larger than what is taken of it, and the line that the
    # window's edge cuts in two is never taken.
    head = "".join(_fitting(_LINE.findall(text[: room + 1]), room // 2))
    tail = "".join(reversed(_fitting(reversed(_LINE.findall(text[-room - 1 :])), room - room // 2)))
    return Cut(head + _gap(size - _size(head) - _size(tail)) + tail, size, True)


def _gap(size: int) -> str:
    return f"[... {size} bytes left out ...]\n"


def _fitting(lines: Iterable[str], room: int) -> list[str]:
    """The first of *lines* that have no more than *room* bytes together."""
    fitting = []
    for line in lines:
        room -= _size(line)
        if room < 0:
            break
        fitting.append(line)
    return fitting


def _size(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode(errors="surrogatepass"))
