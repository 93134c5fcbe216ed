"""Lines that may end in a literal (RFC 9051 4.3): a segment of a command or response, and what follows it."""

from __future__ import annotations

import re
from typing import ClassVar, Final, NamedTuple

from sessionspan.protocols.lines import LINE_LIMIT, Lines

# `{5}` waits for the other side, `{5+}` and `{5-}` (RFC 7888) do not; `~{5}` is binary (RFC 3516). What has
# more digits is no size: no server takes it for one.
_MARK: Final = re.compile(rb"~?\{(\d{1,15})([+-]?)\}$")
_TAIL: Final = 64  # bytes at the end of a line that hold such a mark, and what it is a literal of


class Literal(NamedTuple):
    """A literal that is announced: so many bytes follow, at once or when the other side says so."""

    size: int
    waits: bool


class Segments(Lines):
    """`Lines` whose end is read even where they are cut, since a literal may follow."""

    __slots__ = ("literal", "tail")
    _mark: ClassVar[re.Pattern[bytes]] = _MARK

    def __init__(self) -> None:
        super().__init__()
        self.literal: Literal | None = None  # behind the line that was read last
        self.tail = b""  # of that line, when it was cut

    def next_line(self) -> bytes | None:
        """The next whole line, or None."""
        end = self._buffer.find(b"\n")
        if end < 0:
            if len(self._buffer) > LINE_LIMIT:
                if self._head is None:
                    self._head = bytes(self._buffer[:LINE_LIMIT])
                del self._buffer[:-_TAIL]
            return None
        line = bytes(self._buffer[:end]).rstrip(b"\r")
        del self._buffer[: end + 1]
        self.literal = self._literal(line)
        head, self._head = self._head, None
        self.tail = line[-_TAIL:] if head is not None or len(line) > LINE_LIMIT else b""
        return (head if head is not None else line)[:LINE_LIMIT]

    def _literal(self, line: bytes) -> Literal | None:
        if not line.endswith(b"}"):
            return None
        mark = self._mark.search(line, max(0, len(line) - _TAIL))
        return Literal(int(mark[1]), not mark[2]) if mark is not None else None
