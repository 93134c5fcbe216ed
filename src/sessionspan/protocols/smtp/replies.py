"""SMTP replies (RFC 5321 4.2): bytes of the server in, whole replies out."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from sessionspan.protocols.lines import Lines, pieces

TEXT_LIMIT: Final = 512  # bytes of the text that are kept

# RFC 3463 2, at the start of the text (RFC 2034 4).
_ENHANCED: Final = re.compile(rb"([245])\.(\d{1,3})\.(\d{1,3})(?=\s|$)")
_STATUS: Final = {2: "2xx", 3: "3xx", 4: "4xx", 5: "5xx"}


@dataclass(frozen=True, slots=True)
class Reply:
    """One reply; ``code`` is None when the server sent something else."""

    code: int | None
    text: str
    enhanced: str | None
    offers_chunking: bool = False

    @property
    def status(self) -> str:
        """The metric label of the code: 2xx, 3xx, 4xx, 5xx or none."""
        return _STATUS.get((self.code or 0) // 100, "none")

    @property
    def accepts(self) -> bool:
        """Whether the server did what was asked."""
        return self.status == "2xx"

    @property
    def refuses(self) -> bool:
        """Whether the server refused, for now or for good."""
        return self.status in ("4xx", "5xx")


UNANSWERED: Final = Reply(None, "", None)


class Replies:
    """Reads replies; of one with many lines (``250-...``) the last line's text is kept."""

    __slots__ = ("_chunking", "_lines")

    def __init__(self) -> None:
        self._lines = Lines()
        self._chunking = False

    def feed(self, data: bytes) -> list[Reply]:
        """Add *data*; return the replies that it completes."""
        done: list[Reply] = []
        for piece in pieces(data):
            self._lines.feed(piece)
            while (line := self._lines.next_line()) is not None:
                self._take(line, done)
        return done

    def _take(self, line: bytes, done: list[Reply]) -> None:
        # RFC 3030 2: the keyword with which a server offers BDAT
        self._chunking |= line[4:].upper() == b"CHUNKING"
        if line[3:4] == b"-" and line[:3].isdigit():
            return
        done.append(_reply(line, self._chunking))
        self._chunking = False


def _reply(line: bytes, chunking: bool) -> Reply:
    code = int(line[:3]) if line[:3].isdigit() and line[3:4] in (b" ", b"") else None
    text = line[4:]
    match = _ENHANCED.match(text)
    enhanced = None
    if match is not None and code is not None and int(match[1]) == code // 100:
        enhanced = match[0].decode()
    return Reply(code, text[:TEXT_LIMIT].decode("utf-8", "backslashreplace"), enhanced, chunking)
