"""A bounded reader of lines: what a peer sends without a line end cannot fill our memory."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

LINE_LIMIT: Final = 4096  # bytes of one line that are kept; the rest of it is read and forgotten
HELD_LIMIT: Final = 64 * 1024  # bytes that may wait until it is known how to read them
_PIECE: Final = 32 * 1024


def pieces(data: bytes) -> Iterator[bytes]:
    """*data* in pieces that `Lines` can take at once."""
    if len(data) <= _PIECE:
        if data:
            yield data
        return
    for start in range(0, len(data), _PIECE):
        yield data[start : start + _PIECE]


# What nobody has fed yet has this one, which stays empty: most lines come whole, and pass it.
_NONE: Final = bytearray()


class Lines:
    """Bytes in, lines out; each without its CRLF (or lone LF) and cut at `LINE_LIMIT`."""

    __slots__ = ("_buffer", "_head", "overflowed")

    def __init__(self) -> None:
        self._buffer = _NONE
        self._head: bytes | None = None  # of a line that is too long, while its rest is skipped
        self.overflowed = False

    @property
    def waiting(self) -> bool:
        """Whether there are bytes that were not read."""
        return bool(self._buffer)

    def only_line(self, data: bytes) -> bytes | None:
        """*data* as `next_line` would give it, when nothing waits and it is one whole line: how most come."""
        if self._buffer or self._head is not None or len(data) > LINE_LIMIT or data.find(b"\n") != len(data) - 1:
            return None
        return data.rstrip(b"\r\n") if data else None  # the one LF is the last byte

    def feed(self, data: bytes) -> None:
        """Add *data*; what exceeds `HELD_LIMIT` while nobody reads is lost, and ``overflowed`` says so."""
        if len(self._buffer) + len(data) > HELD_LIMIT + LINE_LIMIT:
            self.overflowed = True
            data = data[: max(0, HELD_LIMIT + LINE_LIMIT - len(self._buffer))]
        self._hold()
        self._buffer += data

    def _hold(self) -> None:
        """Have a buffer of one's own."""
        if self._buffer is _NONE:
            self._buffer = bytearray()

    def next_line(self) -> bytes | None:
        """The next whole line, or None."""
        end = self._buffer.find(b"\n")
        if end < 0:
            if len(self._buffer) > LINE_LIMIT:
                if self._head is None:
                    self._head = bytes(self._buffer[:LINE_LIMIT])
                self._buffer.clear()
            return None
        line = bytes(self._buffer[:end]) if self._head is None else self._head
        del self._buffer[: end + 1]
        self._head = None
        return line.rstrip(b"\r")[:LINE_LIMIT]

    def take(self, size: int | None = None) -> bytes:
        """Up to *size* bytes as they are; all that is there when None."""
        taken = bytes(self._buffer[:size]) if size is not None else bytes(self._buffer)
        del self._buffer[: len(taken)]
        return taken

    def put_back(self, data: bytes) -> None:
        """*data* was taken but belongs to the lines that follow."""
        if data:
            self._hold()
            self._buffer[:0] = data

    def clear(self) -> None:
        """Forget what was not read."""
        self._buffer.clear()
        self._head = None
