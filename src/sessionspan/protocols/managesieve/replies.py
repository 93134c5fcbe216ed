"""ManageSieve responses (RFC 5804 1.2): bytes of the server in; statuses and challenges out, data passed over."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from sessionspan.protocols.dialogue import known
from sessionspan.protocols.lines import pieces
from sessionspan.protocols.managesieve.strings import SieveSegments

# What may stand in `sessionspan.reply.response_code`: IANA's "ManageSieve Response Codes" (RFC 5804 6.4).
CODES: Final = frozenset(
    [
        "ACTIVE",
        "ALREADYEXISTS",
        "AUTH-TOO-WEAK",
        "ENCRYPT-NEEDED",
        "NONEXISTENT",
        "QUOTA",
        "QUOTA/MAXSCRIPTS",
        "QUOTA/MAXSIZE",
        "REFERRAL",
        "SASL",
        "TAG",
        "TRANSITION-NEEDED",
        "TRYLATER",
        "WARNINGS",
    ]
)
CHALLENGE_LIMIT: Final = 64  # bytes of a challenge that are kept: as many as a prompt has

_STATUS: Final = re.compile(rb"(OK|NO|BYE)(?: \(([^\s()\"{]*)|\s|$)", re.IGNORECASE)
# Where a literal may stand: the text of a sloppy server may end like one, when it quotes the client.
_MAY_HAVE_LITERAL: Final = re.compile(rb'(?:(?:OK|NO|BYE) [({]|["{])', re.IGNORECASE)
# RFC 5804 1.7: each list of capabilities has this one.
_CAPABILITIES: Final = re.compile(rb'"IMPLEMENTATION" ["{]', re.IGNORECASE)
_ALONE: Final = re.compile(rb'"((?:[^"\\]|\\.)*)"\s*')


class Reply(NamedTuple):
    """The end of a response, or (status none) something that the server asks for."""

    status: str  # ok, no, bye; none
    code: str | None = None  # from the closed set, else _OTHER
    capabilities: bool = False  # they were listed before it
    challenge: bytes | None = None  # a string alone on its line: of AUTHENTICATE it is a challenge
    asks: bool = False  # `+`: the server wants the literal that was announced

    @property
    def accepts(self) -> bool:
        """Whether the server did what was asked."""
        return self.status == "ok"


UNANSWERED: Final = Reply("none")


class Replies:
    """Reads responses. Data (scripts, their names), with all its literals, is passed over and never kept."""

    __slots__ = ("_capabilities", "_left", "_line", "_segments", "_taken")

    def __init__(self) -> None:
        self._segments = SieveSegments()
        self._line: bytes | None = None  # the beginning of one that goes on behind a literal
        self._left = 0  # bytes of that literal that are still to come
        self._taken = bytearray()  # of a literal that begins its line, what a challenge may have
        self._capabilities = False

    def feed(self, data: bytes) -> list[Reply]:
        """Add *data*; return the replies that it completes."""
        done: list[Reply] = []
        if self._left and not self._segments.waiting:
            taken = data[: self._left]
            self._take_literal(taken)
            data = data[len(taken) :]
        for piece in pieces(data):
            self._segments.feed(piece)
            while self._take(done):
                pass
        return done

    def _take(self, done: list[Reply]) -> bool:
        if self._left:
            data = self._segments.take(self._left)
            self._take_literal(data)
            return bool(data)
        line = self._segments.next_line()
        if line is None:
            return False
        literal = self._segments.literal
        if literal is None or (self._line is None and not _MAY_HAVE_LITERAL.match(line)):
            self._whole(line, done)
            return True
        self._left = literal.size
        if self._line is None:
            self._line = line
        elif self._line.startswith(b"{"):
            self._line = b"{"  # a second literal: this is no challenge
        return True

    def _take_literal(self, data: bytes) -> None:
        self._left -= len(data)
        if self._line is not None and self._line.startswith(b"{"):
            self._taken += data[: CHALLENGE_LIMIT - len(self._taken)]

    def _whole(self, line: bytes, done: list[Reply]) -> None:
        """A response's line has come to its end: *line*, which may be what follows the last literal."""
        start, self._line = self._line, None
        taken, self._taken = bytes(self._taken), bytearray()
        first = line if start is None else start
        status = _STATUS.match(first)
        if status is not None:
            code = known(status[2], CODES) if status[2] is not None else None
            done.append(Reply(status[1].decode().lower(), code, self._capabilities))
            self._capabilities = False
        elif _CAPABILITIES.match(first):
            self._capabilities = True
        elif first.startswith(b"+"):
            done.append(Reply("none", asks=True))
        elif start is not None:
            if first.startswith(b"{") and first.endswith(b"}") and not line.strip():
                done.append(Reply("none", challenge=taken))
        elif (alone := _ALONE.fullmatch(first)) is not None:
            done.append(Reply("none", challenge=alone[1][:CHALLENGE_LIMIT]))
