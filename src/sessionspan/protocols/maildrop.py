"""What a POP3 session has shown of its maildrop: unique ids and sizes of messages, and which are to go."""

from __future__ import annotations

from array import array
from typing import Final

from sessionspan.events import StoreMessageDelete, StoreMessageOpen
from sessionspan.protocols.lines import Lines, pieces

LISTED: Final = 64 * 1024  # bytes of the replies to UIDL that are kept, and of those to LIST
DELETED: Final = 10_000  # messages marked by DELE that are kept; a session may record no more anyway
_WORD: Final = 80  # bytes of a unique id that are kept; RFC 1939 7 allows 70


class Listing:
    """What UIDL or LIST said of each message, as the lines that it said: nothing is smaller."""

    __slots__ = ("_full", "_lines")

    def __init__(self) -> None:
        self._lines = bytearray(b"\n")
        self._full = False

    def learn(self, line: bytes) -> None:
        """*line* is ``1 text``: the number of a message, and what was said of it."""
        number, *text = line.split(None, 2)[:2] or (b"",)
        if self._full or not text or not number.isdigit():
            return
        entry = b"%b %b\n" % (number, text[0][:_WORD])
        self._full = len(self._lines) + len(entry) > LISTED
        if not self._full:
            self._lines += entry

    def of(self, number: int) -> bytes | None:
        """What was said of message *number*."""
        start = self._lines.find(b"\n%d " % number)
        if start < 0:
            return None
        start = self._lines.index(b" ", start) + 1
        return bytes(self._lines[start : self._lines.index(b"\n", start)])


class ListingReader:
    """Reads a listing as it comes, into one of the maildrop's."""

    __slots__ = ("_lines", "_listing")

    def __init__(self, listing: Listing) -> None:
        self._listing = listing
        self._lines = Lines()

    def feed(self, data: bytes) -> None:
        """The next bytes of the reply are *data*."""
        for piece in pieces(data):
            self._lines.feed(piece)
            while (line := self._lines.next_line()) is not None:
                self._listing.learn(line)


class Maildrop:
    """The messages of one session, as far as it has shown them."""

    __slots__ = ("_deleted", "_sizes", "_uids")

    def __init__(self) -> None:
        self._uids = Listing()
        self._sizes = Listing()
        self._deleted: array[int] | None = None  # most sessions delete nothing

    def begin_listing(self, verb: str) -> ListingReader:
        """All of the maildrop is about to be listed by *verb*, UIDL or LIST."""
        listing = Listing()
        if verb == "UIDL":
            self._uids = listing
        else:
            self._sizes = listing
        return ListingReader(listing)

    def learn(self, verb: str, number: int, line: bytes) -> None:
        """*line* is what *verb* said of message *number* alone."""
        listing = self._uids if verb == "UIDL" else self._sizes
        if listing.of(number) is None:
            listing.learn(line)

    def delete(self, number: int) -> None:
        """Message *number* is marked: it goes at the QUIT."""
        if self._deleted is None:
            self._deleted = array("Q")
        if len(self._deleted) < DELETED:
            self._deleted.append(number)

    def keep_all(self) -> None:
        """No message is marked any more."""
        self._deleted = None

    @property
    def deletes(self) -> bool:
        """Whether messages are marked."""
        return self._deleted is not None

    def opened(self, number: int, size: int | None, message_id: str | None) -> StoreMessageOpen:
        """Message *number* was sent to the client; *size* is what it had, when it was sent as a whole."""
        if size is None:
            size = self._size(number)
        return StoreMessageOpen(uid=self._uid(number), size=size, message_id=message_id)

    def deleted(self) -> list[StoreMessageDelete]:
        """The marked messages were deleted."""
        numbers = dict.fromkeys(self._deleted or ())
        self._deleted = None
        return [StoreMessageDelete(uid=self._uid(number), size=self._size(number)) for number in numbers]

    def _uid(self, number: int) -> str | None:
        found = self._uids.of(number)
        return found.decode("utf-8", "backslashreplace") if found is not None else None

    def _size(self, number: int) -> int | None:
        found = self._sizes.of(number)
        return int(found) if found is not None and found.isdigit() else None
