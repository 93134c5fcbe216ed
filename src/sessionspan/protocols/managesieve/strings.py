"""Strings (RFC 5804 4): the few whose values are needed, out of lines that may go on behind literals."""

from __future__ import annotations

import re
from typing import Final

from sessionspan.protocols.imap.segments import Segments
from sessionspan.protocols.lines import LINE_LIMIT

# A literal of a client never waits; `{5}` is none of RFC 5804, but who sends it waits as in IMAP. Anything else
# (`{5-}`, `~{5}`) is no literal: to a server it is an error, and the next line a command.
_MARK: Final = re.compile(rb"(?<!~)\{(\d{1,15})(\+?)\}$")
_STRING: Final = re.compile(rb'\s*(?:"((?:[^"\\]|\\.)*)"|([^\s"{}()]+))')
_ESCAPED: Final = re.compile(rb"\\(.)")

STRINGS: Final = 2  # the mechanism and the initial response


class SieveSegments(Segments):
    """Segments whose literals are those of ManageSieve."""

    __slots__ = ()
    _mark = _MARK


class Strings:
    """Takes the first values of a line, each cut at `LINE_LIMIT` as any line is."""

    __slots__ = ("_taken", "values")

    def __init__(self) -> None:
        self.values: list[bytes] = []
        self._taken: bytearray | None = None  # the literal so far

    @property
    def wants(self) -> int:
        """How many more bytes of the literal that is being read belong to its value."""
        return LINE_LIMIT - len(self._taken) if self._taken is not None else 0

    def line(self, text: bytes, *, literal: bool) -> None:
        """A line, or what follows a literal; another *literal* follows it."""
        if self._taken is not None:
            self._add(bytes(self._taken))
            self._taken = None
        at = 0
        while (found := _STRING.match(text, at)) is not None:
            self._add(_ESCAPED.sub(rb"\1", found[1]) if found[1] is not None else found[2])
            at = found.end()
        if literal and len(self.values) < STRINGS:
            self._taken = bytearray()

    def literal(self, data: bytes) -> None:
        """Bytes of the literal that was announced."""
        if self._taken is not None:
            self._taken += data[: self.wants]

    def _add(self, value: bytes) -> None:
        if len(self.values) < STRINGS:
            self.values.append(value)
