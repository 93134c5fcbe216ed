"""The Message-ID of a message that comes by (RFC 5322 3.6.4), if it stands near the beginning of the header."""

from __future__ import annotations

import re
from typing import Final

WINDOW: Final = 16 * 1024  # bytes of a header that are looked at
_LINE: Final = 1000  # bytes of a line that are kept; RFC 5322 2.1.1 allows 998
_LIMIT: Final = 255  # characters of an id that are kept

_NAME: Final = b"message-id:"
_ID: Final = re.compile(rb"<([^<>\s]+)>")


class MessageIdFinder:
    """Takes a header in any chunking, keeps no more than a line of it, and stops where the header ends."""

    __slots__ = ("_field", "_left", "_line", "found")

    def __init__(self) -> None:
        self.found: str | None = None  # without its brackets
        self._left = WINDOW
        self._line = bytearray()  # that has no end yet
        self._field = b""  # the Message-ID field so far, which may be folded

    @property
    def wants(self) -> int:
        """How many more bytes are of interest."""
        return self._left

    def feed(self, data: bytes) -> None:
        """The next bytes of the message are *data*."""
        start, limit = 0, min(len(data), self._left)
        self._left -= limit
        while start < limit:
            end = data.find(b"\n", start, limit)
            stop = end if end >= 0 else limit
            self._line += data[start : min(stop, start + _LINE - len(self._line))]
            if end < 0:
                break
            start = end + 1
            line, self._line = bytes(self._line), bytearray()
            if self._take(line.rstrip(b"\r")):
                self._left = 0
                break

    def _take(self, line: bytes) -> bool:
        """Read a *line*; return whether there is nothing more to look for."""
        if self._field and line[:1] in (b" ", b"\t"):
            self._field += line
        elif self._field or not line:
            return True  # behind the field, or the header
        elif line[: len(_NAME)].lower() == _NAME:
            self._field = line
        match = _ID.search(self._field)
        if match is not None:
            self.found = message_id(match[1])
        return match is not None


def message_id(text: bytes) -> str | None:
    """The id in *text*, with or without its brackets."""
    return text.strip(b"<> \t").decode("utf-8", "backslashreplace")[:_LIMIT] or None
