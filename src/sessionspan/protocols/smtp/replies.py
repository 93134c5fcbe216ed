"""SMTP replies (RFC 5321 4.2): bytes of the server in, whole replies out."""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence
from typing import Final, NamedTuple

from sessionspan.protocols.lines import Lines, pieces

TEXT_LIMIT: Final = 512  # bytes of the text that are kept

# RFC 3463 2, at the start of the text (RFC 2034 4).
_ENHANCED: Final = re.compile(rb"([245])\.(\d{1,3})\.(\d{1,3})(?=\s|$)")
_STATUS: Final = {b"2": "2xx", b"3": "3xx", b"4": "4xx", b"5": "5xx"}


class Reply(NamedTuple):
    """One reply; ``code`` is None, and ``status`` none, when the server sent something else."""

    code: int | None
    status: str  # the metric label: 2xx, 3xx, 4xx, 5xx, none
    enhanced: str | None
    text: str  # behind the code
    offers_chunking: bool = False

    @property
    def accepts(self) -> bool:
        """Whether the server did what was asked."""
        return self.status == "2xx"

    @property
    def refuses(self) -> bool:
        """Whether the server refused, for now or for good."""
        return self.status in ("4xx", "5xx")


UNANSWERED: Final = Reply(None, "none", None, "")


class Replies(Lines):
    """Reads replies; of one with many lines (``250-...``) the last line's text is kept."""

    __slots__ = ("_chunking",)

    def __init__(self) -> None:
        super().__init__()
        self._chunking = False

    def replies(self, data: bytes) -> Sequence[Reply]:
        """Add *data*; return the replies that it completes."""
        line = self.only_line(data)
        if line is not None:
            reply = self._take(line)
            return (reply,) if reply is not None else ()
        done: list[Reply] = []
        for piece in pieces(data):
            self.feed(piece)
            while (line := self.next_line()) is not None:
                reply = self._take(line)
                if reply is not None:
                    done.append(reply)
        return done

    def _take(self, line: bytes) -> Reply | None:
        # RFC 3030 2: the keyword with which a server offers BDAT
        if len(line) == 12 and line[4:].upper() == b"CHUNKING":
            self._chunking = True
        if line[3:4] == b"-" and line[:3].isdigit():
            return None
        chunking, self._chunking = self._chunking, False
        return _known(line, chunking) if len(line) <= _OFTEN else _reply(line, chunking)


def _reply(line: bytes, chunking: bool) -> Reply:
    raw = line[4 : 4 + TEXT_LIMIT]
    text = raw.decode("utf-8", "backslashreplace")
    if not (line[:3].isdigit() and line[3:4] in (b" ", b"")):
        return Reply(None, "none", None, text, chunking)
    enhanced = None
    # The class of an enhanced status is the first digit of the code (RFC 2034 4).
    if raw[:1] == line[:1]:
        match = _ENHANCED.match(raw)
        enhanced = match[0].decode() if match is not None else None
    return Reply(int(line[:3]), _STATUS.get(line[:1], "none"), enhanced, text, chunking)


# A server says few things, and says them often; each is read once.
_OFTEN: Final = 100  # bytes of a line
_known: Final = functools.lru_cache(maxsize=256)(_reply)
