"""The content of a message as it comes over the wire: where it ends, and how large it is."""

from __future__ import annotations

from typing import Final

_END: Final = b"\r\n.\r\n"
_DOT: Final = ord(".")


class Content:
    """Finds the final dot in any chunking, and counts without keeping (RFC 5321 4.5.2)."""

    __slots__ = ("_at_start", "_seen", "_stuffed", "_tail", "ended")

    def __init__(self) -> None:
        self._seen = 0
        self._stuffed = 0
        self._tail = b"\r\n"  # content begins at the start of a line
        self._at_start = True
        self.ended = False

    def feed(self, data: bytes) -> int | None:
        """Add *data*; return how many bytes of it are content when the final dot is in it, else None."""
        if self._at_start and data.find(b"\r\n") == len(data) - 2 and len(data) >= 2 and data != b".\r\n":
            # One whole line, which is how servers take them: nothing to look for across lines.
            if data[0] == _DOT:
                self._stuffed += 1
            self._seen += len(data)
            self._tail = data[-4:]
            return None
        joined = self._tail + data
        at = joined.find(_END)
        part = joined if at < 0 else joined[: at + len(_END)]
        # The tail is shorter than _END, and what it shows of CRLF-dot was counted with the last feed.
        self._stuffed += part.count(b"\r\n.") - self._tail.count(b"\r\n.")
        taken = len(part) - len(self._tail)
        self._seen += taken
        self._tail = part[-(len(_END) - 1) :]
        self._at_start = self._tail.endswith(b"\r\n")
        if at < 0:
            return None
        self.ended = True
        return taken

    @property
    def size(self) -> int:
        """Bytes of content: without the dots that were stuffed and, once it has ended, the final dot line."""
        return self._seen - self._stuffed - (2 if self.ended else 0)
