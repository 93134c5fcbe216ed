"""The arguments of LOGIN (RFC 9051 6.2.3): the user's name is taken, in each form; the password is not."""

from __future__ import annotations

import re
from typing import Final

from sessionspan.protocols.sasl import NAME_LIMIT

# A name is one only when a password follows: alone it may be the password.
_QUOTED: Final = re.compile(rb'"((?:[^"\\]|\\.)*)"\s+\S')
_ATOM: Final = re.compile(rb'([^\s"{]\S*)\s+\S')
_LITERAL: Final = re.compile(rb"~?\{\d+[+-]?\}$")
_CONTROL: Final = re.compile(rb"[\x00-\x1f\x7f]")
_ESCAPED: Final = re.compile(rb"\\(.)")
_BYTES: Final = 4 * NAME_LIMIT  # of a literal, as many as the longest name may have in UTF-8


class Login:
    """Takes the name from one LOGIN, of whose arguments each may be a literal."""

    __slots__ = ("_taken", "user")

    def __init__(self, argument: bytes) -> None:
        self.user: str | None = None
        self._taken: bytearray | None = None  # the name so far, when it is a literal
        argument = argument.strip()
        if _LITERAL.fullmatch(argument):
            self._taken = bytearray()
        elif (atom := _ATOM.match(argument)) is not None:
            self.user = _name(atom[1])
        elif (quoted := _QUOTED.match(argument)) is not None:
            self.user = _name(_ESCAPED.sub(rb"\1", quoted[1]))

    def begins(self, size: int) -> None:
        """A literal of *size* bytes comes next."""

    @property
    def wants(self) -> int:
        """How many bytes of the literal that is being read belong to the name."""
        return _BYTES - len(self._taken) if self._taken is not None else 0

    def literal(self, data: bytes) -> None:
        """Bytes of a literal; of the first one, when the name is one."""
        if self._taken is not None:
            self._taken += data[: self.wants]

    def line(self, text: bytes) -> None:
        """The line behind a literal."""
        if self._taken is not None:
            if text.startswith(b" ") and text.strip():
                self.user = _name(bytes(self._taken))
            self._taken = None


def _name(data: bytes) -> str | None:
    # No name holds control characters; what does may hold the password, too.
    if _CONTROL.search(data):
        return None
    return data.decode("utf-8", "backslashreplace")[:NAME_LIMIT] or None
