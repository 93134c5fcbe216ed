"""IMAP responses (RFC 9051 7): bytes of the server in; statuses, continuations, what happens to messages out."""

from __future__ import annotations

import re
from typing import Final, NamedTuple, TypeAlias

from sessionspan.protocols.imap.fetched import Fetched, FetchReader, glance
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
_APPENDED: Final = re.compile(rb"\[APPENDUID \d{1,10} ([\d,:]{1,2000})\]", re.IGNORECASE)  # RFC 4315 3

_DATA: Final = re.compile(rb"\* (?:(\d{1,10}) (UID)?(FETCH|EXPUNGE|EXISTS)\b|VANISHED ([\d,:]+)$)", re.IGNORECASE)


class Reply(NamedTuple):
    """One response that is no data: of a command, of the server itself (`*`), or asking for more (`+`)."""

    tag: bytes
    status: str  # ok, no, bad, bye, preauth; none
    code: str | None = None  # from the closed set, else _OTHER
    challenge: bytes = b""  # behind a `+`
    uids: bytes = b""  # APPENDUID: a set

    @property
    def accepts(self) -> bool:
        """Whether the server did what was asked."""
        return self.status == "ok"


UNANSWERED: Final = Reply(b"", "none")


class Expunged(NamedTuple):
    """Message *number* is gone."""

    number: int


class Vanished(NamedTuple):
    """The messages of these *uids*, a set, are gone (RFC 7162 3.2.10)."""

    uids: bytes


class Exists(NamedTuple):
    """The mailbox has messages up to this *number*."""

    number: int


Response: TypeAlias = Reply | Fetched | Expunged | Vanished | Exists


class Replies:
    """Reads responses. What FETCH and its kin send, with all its literals, is counted down and not kept."""

    __slots__ = ("_fetch", "_in_data", "_left", "_segments")

    def __init__(self) -> None:
        self._segments = Segments()
        self._left = 0  # bytes of a literal that are still to come
        self._in_data = False  # the next line goes on with a response, behind its literal
        self._fetch: FetchReader | None = None  # which is a FETCH

    def feed(self, data: bytes) -> list[Response]:
        """Add *data*; return the responses that it completes."""
        done: list[Response] = []
        if self._left and not self._segments.waiting:
            taken = min(self._left, len(data))
            self._take_literal(data[: min(taken, self._wanted)], taken)
            data = data[taken:]
        for piece in pieces(data):
            self._segments.feed(piece)
            while self._take(done):
                pass
        return done

    def clear(self) -> None:
        """Forget what was not read."""
        self._segments.clear()
        self._left, self._in_data, self._fetch = 0, False, None

    @property
    def _wanted(self) -> int:
        return self._fetch.wants if self._fetch is not None else 0

    def _take_literal(self, data: bytes, size: int) -> None:
        """*size* bytes of the literal have come, of which *data* are the first."""
        if self._fetch is not None:
            self._fetch.literal(data)
        self._left -= size

    def _take(self, done: list[Response]) -> bool:
        if self._left:
            data = self._segments.take(self._left)
            self._take_literal(data, len(data))
            return bool(data)
        line = self._segments.next_line()
        if line is None:
            return False
        reply = None if self._in_data else parse(line)
        if reply is not None:
            done.append(reply)
            return True
        # Only data has literals: the text of a status may end like one, when it quotes the client.
        literal = self._segments.literal if self._in_data or line.startswith(b"* ") else None
        self._take_data(line, literal.size if literal is not None else None, done)
        self._in_data = literal is not None
        self._left = literal.size if literal is not None else 0
        return True

    def _take_data(self, line: bytes, literal: int | None, done: list[Response]) -> None:
        """A *line* of data; a *literal* of so many bytes follows, or it was the last."""
        if not self._in_data:
            found = _DATA.match(line)
            if found is None:
                return
            if found[3] is None or found[3].upper() != b"FETCH":
                done += _simple(found)
                return
            line = line[found.end() :].lstrip()
            if literal is None and found[2] is None and not self._segments.tail:
                seen = glance(int(found[1]), line)
                if seen is not None:
                    done.append(seen)
                    return
            self._fetch = FetchReader(int(found[1]), is_uid=found[2] is not None)
        if self._fetch is not None:
            self._fetch.line(line, self._segments.tail, literal)
            if literal is None:
                done.append(self._fetch.done())
                self._fetch = None


def _simple(found: re.Match[bytes]) -> list[Response]:
    if found[4] is not None:
        return [Vanished(found[4])]
    if found[2] is not None:
        return []
    return [Expunged(int(found[1])) if found[3].upper() == b"EXPUNGE" else Exists(int(found[1]))]


def parse(line: bytes) -> Reply | None:
    """The response in a first *line*; None when it is data, or nothing that we know."""
    tag, _, rest = line.partition(b" ")
    if tag == CONTINUATION:
        return Reply(CONTINUATION, "none", challenge=rest)
    word, _, text = rest.partition(b" ")
    status = (_STATUSES if tag == UNTAGGED else _TAGGED).get(word.upper())
    if status is None:
        return None
    code = _code(text)
    uids = _APPENDED.match(text) if code == "APPENDUID" else None
    return Reply(tag[:TAG_LIMIT], status, code, uids=uids[1] if uids is not None else b"")


def _code(text: bytes) -> str | None:
    found = _CODE.match(text)
    if found is None:
        return None
    code = found[1].decode().upper()
    return code if code in CODES else "_OTHER"
