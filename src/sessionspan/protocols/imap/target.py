"""The mailbox that a command names (RFC 9051 6.3.2, 6.3.12), in each form, and the messages behind it.

What a server has accepted as the name of a mailbox is one, and no password that was sent at the wrong moment;
until then nobody is told.
"""

from __future__ import annotations

import binascii
import re
from typing import Final, NamedTuple

from sessionspan.protocols.message_id import MessageIdFinder

NAME_LIMIT: Final = 255  # characters of a name that are kept
_BYTES: Final = 4 * NAME_LIMIT
MESSAGES: Final = 100  # of one APPEND (RFC 3502) that are told

_QUOTED: Final = re.compile(rb'"((?:[^"\\]|\\.)*)"')
_ATOM: Final = re.compile(rb'[^\s"{(]\S*')
_LITERAL: Final = re.compile(rb"~?\{\d+[+-]?\}$")
_ESCAPED: Final = re.compile(rb"\\(.)")
_SHIFTED: Final = re.compile(rb"&([A-Za-z0-9+,]*)-")  # RFC 3501 5.1.3: modified UTF-7
_PARTS: Final = re.compile(rb"\bCATENATE\b", re.IGNORECASE)  # RFC 4469: the literals are parts of one message


class Target:
    """Takes the name from the arguments of SELECT, EXAMINE, APPEND."""

    __slots__ = ("_taken", "name")

    def __init__(self, argument: bytes) -> None:
        self.name: str | None = None
        self._taken: bytearray | None = None  # the name so far, when it is a literal
        argument = argument.strip()
        if _LITERAL.match(argument):
            self._taken = bytearray()
        elif (quoted := _QUOTED.match(argument)) is not None:
            self.name = decoded(_ESCAPED.sub(rb"\1", quoted[1]))
        elif (atom := _ATOM.match(argument)) is not None:
            self.name = decoded(atom[0])

    def begins(self, size: int) -> None:
        """A literal of *size* bytes comes next."""

    @property
    def wants(self) -> int:
        """How many bytes of the literal are of interest."""
        return _BYTES - len(self._taken) if self._taken is not None else 0

    def literal(self, data: bytes) -> None:
        """Bytes of the literal."""
        if self._taken is not None:
            self._taken += data[: self.wants]

    def line(self, text: bytes) -> None:
        """The line behind a literal."""
        if self._taken is not None:
            self.name = decoded(bytes(self._taken))
            self._taken = None


class Message(NamedTuple):
    """A message of an APPEND; ``size`` in bytes, None when it is put together from parts."""

    size: int | None
    id: str | None


class Append(Target):
    """Takes the messages, too: of each its size and its Message-ID."""

    __slots__ = ("_finder", "_parts", "_size", "messages")

    def __init__(self, argument: bytes) -> None:
        super().__init__(argument)
        self.messages: list[Message] = []
        self._size = 0
        self._finder: MessageIdFinder | None = None
        self._parts = _PARTS.search(argument) is not None

    def begins(self, size: int) -> None:
        """A literal of *size* bytes comes next: the name, or a message."""
        if self._taken is None:
            self._size = size
            self._finder = MessageIdFinder()

    @property
    def wants(self) -> int:
        """How many bytes of the literal are of interest."""
        return self._finder.wants if self._finder is not None else super().wants

    def literal(self, data: bytes) -> None:
        """Bytes of the literal."""
        if self._finder is not None:
            self._finder.feed(data)
        else:
            super().literal(data)

    def line(self, text: bytes) -> None:
        """The line behind a literal."""
        if self._finder is None:
            super().line(text)
            self._parts = self._parts or _PARTS.search(text) is not None
            return
        if not self._parts:
            if len(self.messages) < MESSAGES:
                self.messages.append(Message(self._size, self._finder.found))
        elif not self.messages:
            self.messages.append(Message(None, self._finder.found))
        self._finder = None


def decoded(name: bytes) -> str | None:
    """*name* for people: out of modified UTF-7, or UTF-8 (RFC 9051 5.1)."""
    with_text = _SHIFTED.sub(_unshifted, name)
    return with_text.decode("utf-8", "backslashreplace")[:NAME_LIMIT] or None


def _unshifted(match: re.Match[bytes]) -> bytes:
    if not match[1]:
        return b"&"
    try:
        data = binascii.a2b_base64(match[1].replace(b",", b"/") + b"===")
        return data.decode("utf-16-be").encode()
    except ValueError:  # none, or half of a character: then as it is
        return match[0]
