"""IMAP responses (RFC 9051 7): bytes of the server in; statuses and continuations out, data passed over."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from sessionspan.protocols.imap.segments import Segments
from sessionspan.protocols.lines import pieces

TAG_LIMIT: Final = 64  # bytes of a tag that are kept
UNTAGGED: Final = b"*"
CONTINUATION: Final = b"+"

_TAGGED: Final = {b"OK": "ok", b"NO": "no", b"BAD": "bad"}
_STATUSES: Final = {**_TAGGED, b"BYE": "bye", b"PREAUTH": "preauth"}

# What may stand in `sessionspan.reply.response_code`: the IANA registry "IMAP Response Codes" (RFC 5530 6).
CODES: Final = frozenset(
    [
        "ALERT",
        "ALREADYEXISTS",
        "ANNOTATE",
        "ANNOTATIONS",
        "APPENDUID",
        "AUTHENTICATIONFAILED",
        "AUTHORIZATIONFAILED",
        "BADCHARSET",
        "BADCOMPARATOR",
        "BADEVENT",
        "BADURL",
        "CANNOT",
        "CAPABILITY",
        "CLIENTBUG",
        "CLOSED",
        "COMPRESSIONACTIVE",
        "CONTACTADMIN",
        "COPYUID",
        "CORRUPTION",
        "EXPIRED",
        "EXPUNGEISSUED",
        "HASCHILDREN",
        "HIGHESTMODSEQ",
        "INPROGRESS",
        "INUSE",
        "LIMIT",
        "MAILBOXID",
        "MAXCONVERTMESSAGES",
        "MAXCONVERTPARTS",
        "METADATA",
        "MODIFIED",
        "NEWNAME",
        "NOMODSEQ",
        "NONEXISTENT",
        "NOPERM",
        "NOTIFICATIONOVERFLOW",
        "NOTSAVED",
        "NOUPDATE",
        "OVERQUOTA",
        "PARSE",
        "PERMANENTFLAGS",
        "PRIVACYREQUIRED",
        "READ-ONLY",
        "READ-WRITE",
        "REFERRAL",
        "SERVERBUG",
        "TEMPFAIL",
        "TOOBIG",
        "TRYCREATE",
        "UIDNEXT",
        "UIDNOTSTICKY",
        "UIDREQUIRED",
        "UIDVALIDITY",
        "UNAVAILABLE",
        "UNDEFINED-FILTER",
        "UNKNOWN-CTE",
        "UNSEEN",
        "URLMECH",
        "USEATTR",
    ]
)
_CODE: Final = re.compile(rb"\[([A-Z0-9-]*)", re.IGNORECASE)


class Reply(NamedTuple):
    """One response that is no data: of a command, of the server itself (`*`), or asking for more (`+`)."""

    tag: bytes
    status: str  # ok, no, bad, bye, preauth; none
    code: str | None = None  # from the closed set, else _OTHER
    challenge: bytes = b""  # behind a `+`

    @property
    def accepts(self) -> bool:
        """Whether the server did what was asked."""
        return self.status == "ok"


UNANSWERED: Final = Reply(b"", "none")


class Replies:
    """Reads responses. Data (FETCH and its kin), with all its literals, is passed over and never kept."""

    __slots__ = ("_in_data", "_left", "_segments")

    def __init__(self) -> None:
        self._segments = Segments()
        self._left = 0  # bytes of a literal that are still to come
        self._in_data = False  # the next line goes on with a response, behind its literal

    def feed(self, data: bytes) -> list[Reply]:
        """Add *data*; return the responses that it completes."""
        done: list[Reply] = []
        if self._left and not self._segments.waiting:
            data = self._pass_over(data)
        for piece in pieces(data):
            self._segments.feed(piece)
            while self._take(done):
                pass
        return done

    def clear(self) -> None:
        """Forget what was not read."""
        self._segments.clear()
        self._left, self._in_data = 0, False

    def _pass_over(self, data: bytes) -> bytes:
        taken = min(self._left, len(data))
        self._left -= taken
        return data[taken:]

    def _take(self, done: list[Reply]) -> bool:
        if self._left:
            taken = len(self._segments.take(self._left))
            self._left -= taken
            return taken > 0
        line = self._segments.next_line()
        if line is None:
            return False
        reply = None if self._in_data else parse(line)
        if reply is not None:
            done.append(reply)
            return True
        # Only data has literals: the text of a status may end like one, when it quotes the client.
        literal = self._segments.literal if self._in_data or line.startswith(b"* ") else None
        self._in_data = literal is not None
        self._left = literal.size if literal is not None else 0
        return True


def parse(line: bytes) -> Reply | None:
    """The response in a first *line*; None when it is data, or nothing that we know."""
    tag, _, rest = line.partition(b" ")
    if tag == CONTINUATION:
        return Reply(CONTINUATION, "none", challenge=rest)
    word, _, text = rest.partition(b" ")
    status = (_STATUSES if tag == UNTAGGED else _TAGGED).get(word.upper())
    return Reply(tag[:TAG_LIMIT], status, _code(text)) if status is not None else None


def _code(text: bytes) -> str | None:
    found = _CODE.match(text)
    if found is None:
        return None
    code = found[1].decode().upper()
    return code if code in CODES else "_OTHER"
