"""What an IMAP session does to messages: opens, deletes and stores them, as its commands and responses show it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

from sessionspan.events import Event, StoreMessageDelete, StoreMessageOpen, StoreMessageStore
from sessionspan.protocols.imap.commands import Pending
from sessionspan.protocols.imap.fetched import Fetched
from sessionspan.protocols.imap.mailbox import Mailbox
from sessionspan.protocols.imap.numbers import numbers
from sessionspan.protocols.imap.replies import Exists, Expunged, Reply, Response, Vanished
from sessionspan.protocols.imap.target import Append, Target

VANISHED: Final = 10_000  # messages of one response that are told; a session may record no more anyway

# While one of these is under way, what goes goes by it; else some other session has deleted it.
_DELETES: Final = frozenset(("EXPUNGE", "UID EXPUNGE", "MOVE", "UID MOVE", "REPLACE", "UID REPLACE"))


class Store:
    """The mailboxes of one session."""

    __slots__ = ("_exists", "_mailbox")

    def __init__(self) -> None:
        self._exists = 0  # messages in the mailbox
        self._mailbox: Mailbox | None = None  # the selected one

    def shown(self, response: Response, pending: Iterable[Pending]) -> Sequence[Event]:
        """The server has sent *response*, which is data, while these commands are *pending*."""
        if isinstance(response, Exists):
            self._exists = response.number
            return ()
        if self._mailbox is None:
            return ()
        if isinstance(response, Fetched):
            return self._fetched(self._mailbox, response)
        deletes = any(command.verb in _DELETES for command in pending)
        if isinstance(response, Expunged):
            self._exists = max(0, self._exists - 1)
            gone: Iterable[int | None] = (self._mailbox.expunged(response.number),)
        elif isinstance(response, Vanished):
            self._mailbox.vanished(response.uids)
            gone = numbers(response.uids, 0, VANISHED)
        return [_deleted(self._mailbox, uid) for uid in gone] if deletes else ()

    def answered(self, command: Pending, reply: Reply) -> Sequence[Event]:
        """The server has answered *command* with *reply*."""
        means = _ANSWERED.get(command.verb)
        return means(self, command, reply) if means is not None else ()

    def _fetched(self, mailbox: Mailbox, message: Fetched) -> Sequence[Event]:
        if message.number is not None:
            mailbox.saw(message.number, message.uid, message.marked)
        elif message.uid is not None and message.marked is not None:
            mailbox.mark_uids(b"%d" % message.uid, message.marked)
        if not message.opened:
            return ()
        uid = message.uid
        if uid is None and message.number is not None:
            uid = mailbox.uid_of(message.number)
        opened = StoreMessageOpen(
            mailbox=mailbox.name, uid=_text(uid), size=message.size, message_id=message.message_id
        )
        return (opened,)

    def _selected(self, command: Pending, reply: Reply) -> Sequence[Event]:
        if reply.accepts:
            name = command.reads.name if isinstance(command.reads, Target) else None
            self._mailbox = Mailbox(name, command.verb == "EXAMINE" or reply.code == "READ-ONLY")
        elif reply.status == "no":  # RFC 9051 6.3.2: then none is
            self._mailbox = None
        return ()

    def _closed(self, command: Pending, reply: Reply) -> Sequence[Event]:
        mailbox = self._mailbox
        if not reply.accepts:
            return ()
        self._mailbox = None
        # RFC 9051 6.4.1: CLOSE deletes what is marked, and says nothing of it.
        if mailbox is None or mailbox.read_only or command.verb != "CLOSE":
            return ()
        return [_deleted(mailbox, uid) for uid in mailbox.marked()]

    def _stored_flags(self, command: Pending, reply: Reply) -> Sequence[Event]:
        # RFC 7162 3.1.3: MODIFIED, some of them were left alone.
        if self._mailbox is not None and command.marks is not None and reply.accepts and reply.code != "MODIFIED":
            messages, marked = command.marks
            if command.verb == "UID STORE":
                self._mailbox.mark_uids(messages, marked)
            else:
                self._mailbox.mark(messages, self._exists, marked)
        return ()

    def _expunged(self, command: Pending, reply: Reply) -> Sequence[Event]:
        if self._mailbox is not None and reply.accepts:
            self._mailbox.all_expunged()
        return ()

    def _appended(self, command: Pending, reply: Reply) -> Sequence[Event]:
        if not reply.accepts or not isinstance(command.reads, Append):
            return ()
        uids = list(numbers(reply.uids, 0, len(command.reads.messages)))
        uids = uids if len(uids) == len(command.reads.messages) else []
        return [
            StoreMessageStore(
                mailbox=command.reads.name,
                uid=_text(uids[at]) if uids else None,
                size=message.size,
                message_id=message.id,
            )
            for at, message in enumerate(command.reads.messages)
        ]


def _deleted(mailbox: Mailbox, uid: int | None) -> StoreMessageDelete:
    return StoreMessageDelete(mailbox=mailbox.name, uid=_text(uid))


def _text(uid: int | None) -> str | None:
    return str(uid) if uid is not None else None


_ANSWERED: Final[dict[str, Callable[[Store, Any, Reply], Sequence[Event]]]] = {
    "SELECT": Store._selected,
    "EXAMINE": Store._selected,
    "CLOSE": Store._closed,
    "UNSELECT": Store._closed,
    "UNAUTHENTICATE": Store._closed,
    "STORE": Store._stored_flags,
    "UID STORE": Store._stored_flags,
    "EXPUNGE": Store._expunged,
    "UID EXPUNGE": Store._expunged,
    "APPEND": Store._appended,
}
