"""FETCH responses (RFC 9051 7.5.2): which message was sent, and whether its body was.

Only names of items at the top of the list count: quoted strings and lists within hold what a stranger wrote into a
mail, and may look like anything.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from sessionspan.protocols.message_id import MessageIdFinder, message_id

_TOKEN: Final = re.compile(rb'"(?:[^"\\]|\\.)*"|[()]|[^\s()"\[\]]+(?:\[[^\]]*\](?:<\d+>)?)?')
_CONTENT: Final = re.compile(rb"(?:BODY|BINARY)\[([^\]]*)\](?:<(\d+)>)?|(RFC822(?:\.TEXT|\.HEADER)?)")
_NO_BODY: Final = re.compile(rb"(?:.*\.)?(?:HEADER(?:\.FIELDS.*)?|MIME)")
_HAS_HEADER: Final = re.compile(rb"(?:HEADER(?:\.FIELDS.*)?)?")
_ESCAPED: Final = re.compile(rb"\\(.)")
# An item and the literal behind it, at the end of a line of which the middle was not kept.
_LAST_ITEM: Final = re.compile(rb"[ (]([^\s()\"\[\]{}]+(?:\[[^\]]*\](?:<\d+>)?)?) ~?\{\d+[+-]?\}$")
_MARK: Final = re.compile(rb"~?\{\d+[+-]?\}$")
_LOST: Final = 1_000_000  # a depth from which nothing comes up again
_SECTIONS: Final = {b"RFC822": b"", b"RFC822.TEXT": b"TEXT", b"RFC822.HEADER": b"HEADER"}


class Fetched(NamedTuple):
    """A message, as far as one response showed it."""

    number: int | None
    uid: int | None
    marked: bool | None  # \\Deleted; None when its flags were not shown
    opened: bool  # its body was sent, or the beginning of it
    size: int | None
    message_id: str | None


# What most lines are, and what stands before the long items of others: a glance is enough, and cheap. A uid or
# flags behind those may be a stranger's words, and a body is worth more than a glance.
_SHORT: Final = re.compile(
    rb"\((?:UID (\d+)(?![^ )])|FLAGS \(([^()\"]*)\)|MODSEQ \(\d+\)|RFC822\.SIZE \d+"
    rb"|INTERNALDATE \"[^\"\\]*\"|[ ])*",
    re.IGNORECASE,
)
_MORE: Final = (b"UID", b"FLAGS", b"BODY[", b"BINARY[", b"RFC822")
_MARKED: Final = re.compile(rb"\\Deleted(?![^ ])", re.IGNORECASE)


def glance(number: int, text: bytes) -> Fetched | None:
    """What the whole response *text* says of message *number*; None when that takes a `FetchReader`."""
    found = _SHORT.match(text)
    if found is None:
        return None
    rest = text[found.end() :].upper()
    if len(rest) > 1 and any(word in rest for word in _MORE):
        return None
    uid, flags = found.groups()
    marked = _MARKED.search(flags) is not None if flags is not None else None
    return Fetched(number, int(uid) if uid is not None else None, marked, False, None, None)


class _Item(NamedTuple):
    """What an item's name says of its value."""

    name: bytes
    opens: bool = False
    header: bool = False  # the value begins with the message's header
    whole: bool = False  # the value is the message


class FetchReader:
    """Reads one response: its lines, and the literals between them."""

    __slots__ = (
        "_depth",
        "_feeds",
        "_finder",
        "_item",
        "_last",
        "_marked",
        "_number",
        "_opened",
        "_sizes",
        "_uid",
    )

    def __init__(self, number: int, *, is_uid: bool) -> None:
        self._number = None if is_uid else number
        self._uid = number if is_uid else None
        self._marked: bool | None = None
        self._opened = False
        self._sizes: list[int] = []  # of the message: as it was told, and as it was sent
        self._finder = MessageIdFinder()
        self._feeds = False  # the finder, with the literal that is being read
        self._depth = 0
        self._item: _Item | None = None  # whose value comes next
        self._last = b""  # string of an envelope

    def line(self, text: bytes, tail: bytes, literal: int | None) -> None:
        """A line; when its *text* was cut, its *tail*. A *literal* of so many bytes follows, or none."""
        for token in _TOKEN.findall(_MARK.sub(b"", text) if literal is not None else text):
            self._take(token)
        if tail:
            found = _LAST_ITEM.search(tail)
            self._depth, self._item = (1, _item(found[1])) if found is not None else (_LOST, None)
            self._last = b""
        self._feeds = False
        if literal is not None and self._depth == 1:
            self._value(b"", literal)
        elif literal is not None and self._depth == 2:
            self._last = b""

    @property
    def wants(self) -> int:
        """How many bytes of the literal are of interest."""
        return self._finder.wants if self._feeds else 0

    def literal(self, data: bytes) -> None:
        """Bytes of the literal."""
        if self._feeds:
            self._finder.feed(data)

    def done(self) -> Fetched:
        """The response is over."""
        found = self._finder.found
        if found is None and self._last.startswith(b"<"):
            found = message_id(self._last)
        size = self._sizes[0] if self._sizes else None
        return Fetched(self._number, self._uid, self._marked, self._opened, size, found)

    def _take(self, token: bytes) -> None:
        if token == b"(":
            self._depth += 1
            if self._depth == 2 and self._item is not None and self._item.name == b"FLAGS":
                self._marked = False
        elif token == b")":
            self._depth -= 1
            if self._depth == 1:
                self._item = None
        elif self._depth == 1:
            if self._item is None:
                self._item = _item(token)
            else:
                self._value(token, None)
        elif self._depth == 2 and self._item is not None:
            if self._item.name == b"FLAGS":
                self._marked = self._marked or token.lower() == b"\\deleted"
            elif self._item.name == b"ENVELOPE":  # RFC 9051 7.5.2: the Message-ID is its last
                self._last = _unquoted(token)

    def _value(self, token: bytes, literal: int | None) -> None:
        """The value of the item is *token*, or a *literal* of so many bytes."""
        item, self._item = self._item, None
        if item is None or token.upper() == b"NIL":
            return
        if item.name == b"UID" and token.isdigit():
            self._uid = int(token)
        elif item.name == b"RFC822.SIZE" and token.isdigit():
            self._sizes.insert(0, int(token))
        value = _unquoted(token)
        self._opened = self._opened or item.opens
        if item.whole:
            self._sizes.append(literal if literal is not None else len(value))
        if item.header:
            self._feeds = literal is not None
            self._finder.feed(value)


def _item(name: bytes) -> _Item:
    match = _CONTENT.fullmatch(name.upper())
    if match is None:
        return _Item(name.upper())
    section = _SECTIONS[match[3]] if match[3] is not None else match[1]
    begins = not int(match[2] or 0)  # RFC 9051 7.5.2: <n> when it is a part from byte n on
    return _Item(
        b"",
        # The further parts of a message that is fetched in parts do not open it again.
        opens=begins and _NO_BODY.fullmatch(section) is None,
        header=begins and _HAS_HEADER.fullmatch(section) is not None,
        whole=not section and match[2] is None,
    )


def _unquoted(token: bytes) -> bytes:
    return _ESCAPED.sub(rb"\1", token[1:-1]) if token.startswith(b'"') else token
