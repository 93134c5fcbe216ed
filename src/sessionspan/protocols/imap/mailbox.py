"""The mailbox that an IMAP session has selected: unique ids of messages, and which of them are to go."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from typing import Final

from sessionspan.protocols.imap.numbers import HIGHEST, numbers, ranges

REMEMBERED: Final = 1000  # messages of one session that are kept in mind; those with the highest numbers
_NUMBERS: Final = 2**31  # beyond it no number is believed


class Mailbox:
    """What a session has shown of its mailbox. The numbers of messages change, their unique ids do not."""

    __slots__ = ("_gone", "_marked", "_marked_uids", "_numbers", "_uids", "name", "read_only")

    def __init__(self, name: str | None, read_only: bool) -> None:
        self.name = name
        self.read_only = read_only
        # Side by side, by number: an idle session keeps these, so they are small. Each number is too high by
        # `_gone`, so that not all of them change when a message in front of them goes.
        self._numbers = array("I")
        self._gone = 0
        self._uids = array("I")  # 0: not shown
        self._marked = bytearray()
        self._marked_uids: set[int] = set()  # of messages whose number was not shown

    def saw(self, number: int, uid: int | None, marked: bool | None) -> None:
        """Message *number* has this *uid* and is *marked* to go; None for what was not shown."""
        if (uid is None or uid > HIGHEST) and not marked and self._find(number) is None:
            return
        at = self._entry(number)
        if at is None:
            return
        if uid is not None and uid <= HIGHEST:
            self._uids[at] = uid
            self._marked[at] |= uid in self._marked_uids
            self._marked_uids.discard(uid)
        if marked is not None:
            self._marked[at] = marked

    def uid_of(self, number: int) -> int | None:
        """The unique id of message *number*."""
        at = self._find(number)
        return self._uids[at] or None if at is not None else None

    def expunged(self, number: int) -> int | None:
        """Message *number* is gone, and those behind it move up; its unique id."""
        at, found = self._place(number)
        uid = self._uids[at] if found else 0
        if found:
            del self._numbers[at], self._uids[at], self._marked[at]
        if at <= len(self._numbers) // 2 and self._gone < _NUMBERS:
            self._gone += 1
            self._numbers[:at] = array("I", [before + 1 for before in self._numbers[:at]])
        else:
            self._numbers[at:] = array("I", [behind - 1 for behind in self._numbers[at:]])
        return uid or None

    def vanished(self, uids: bytes) -> None:
        """The messages of these *uids* are gone (RFC 7162 3.2.10); nobody said which numbers they had."""
        marked = self._marked_uids.union(uid for uid in self.marked() if uid is not None)
        for low, high in ranges(uids, 0):
            marked = {uid for uid in marked if not low <= uid <= high}
        self._marked_uids = marked
        del self._numbers[:], self._uids[:], self._marked[:]

    def mark(self, messages: bytes, last: int, marked: bool) -> None:
        """The *messages* of these numbers are *marked* to go, or no longer; the mailbox has *last*."""
        for number in numbers(messages, last, REMEMBERED):
            self.saw(number, None, marked)

    def mark_uids(self, uids: bytes, marked: bool) -> None:
        """As `mark`, by unique ids. A range may have holes: of it only those count that were shown."""
        for low, high in ranges(uids, HIGHEST):
            shown = False
            for at, uid in enumerate(self._uids):
                if low <= uid <= high:
                    self._marked[at] = marked
                    shown = True
            if not marked:
                self._marked_uids = {uid for uid in self._marked_uids if not low <= uid <= high}
            elif low == high and not shown and len(self._marked_uids) < REMEMBERED:
                self._marked_uids.add(low)

    def all_expunged(self) -> None:
        """All marked messages are gone; those with a number have been told apart."""
        self._marked_uids.clear()

    def marked(self) -> list[int | None]:
        """The unique ids of the messages that are marked to go."""
        found = [uid or None for uid, marked in zip(self._uids, self._marked, strict=True) if marked]
        return [*found, *sorted(self._marked_uids)]

    def _place(self, number: int) -> tuple[int, bool]:
        """Where message *number* is kept, or would be; whether it is."""
        kept = number + self._gone
        at = bisect_left(self._numbers, kept)
        return at, at < len(self._numbers) and self._numbers[at] == kept

    def _find(self, number: int) -> int | None:
        at, found = self._place(number)
        return at if found else None

    def _entry(self, number: int) -> int | None:
        """Where message *number* is kept, now at the latest; None when it is not."""
        at, found = self._place(number)
        if found:
            return at
        if not 0 < number < _NUMBERS:
            return None
        if len(self._numbers) >= REMEMBERED:
            if at == 0:
                return None
            del self._numbers[0], self._uids[0], self._marked[0]
            at -= 1
        self._numbers.insert(at, number + self._gone)
        self._uids.insert(at, 0)
        self._marked.insert(at, 0)
        return at
