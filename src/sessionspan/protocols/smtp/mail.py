"""Mail transactions (RFC 5321 3.3) as events: what was accepted for whom, and what was refused."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from sessionspan.events import Event, MailReception, MailRejection
from sessionspan.protocols.smtp.commands import Pending, path
from sessionspan.protocols.smtp.replies import Reply

RECIPIENTS: Final = 1000  # of one message that are kept by name
SHOWN: Final = 100  # of them in one event, and events for the recipients of one refused message


@dataclass(slots=True)
class _Transaction:
    """From an accepted MAIL to the reply that ends it."""

    sequence: int
    sender: str | None  # None when the path was not understood; the null sender is ""
    recipients: list[str | None] = field(default_factory=list)
    recipient_count: int = 0
    size: int = 0  # bytes of the BDAT chunks so far
    spool_id: str = field(default_factory=lambda: os.urandom(16).hex())


class Mail:
    """The mail transactions of one connection, one after the other."""

    __slots__ = ("_count", "_events", "_lmtp", "_transaction", "hostname", "protocol")

    def __init__(self, lmtp: bool, events: list[Event]) -> None:
        self.hostname: str | None = None  # what the client calls itself
        self.protocol = "LMTP" if lmtp else "SMTP"  # ESMTP after an EHLO
        self._lmtp = lmtp
        self._events = events  # the observer's, to which ours are added
        self._transaction: _Transaction | None = None
        self._count = 0

    @property
    def under_way(self) -> bool:
        """Whether a transaction is open."""
        return self._transaction is not None

    def reset(self) -> None:
        """The transaction is over: by RSET, by a new greeting, by STARTTLS."""
        self._transaction = None

    def number(self, command: Pending) -> None:
        """Give *command* the number of its transaction; MAIL begins the next one."""
        self._count += command.verb == "MAIL"
        command.transaction = self._count or None

    def mail(self, command: Pending, reply: Reply) -> None:
        """MAIL was answered."""
        sender = path(command.argument)
        if reply.accepts:
            self._transaction = _Transaction(command.transaction or 0, sender)
        elif reply.refuses:
            self.reject(reply, command, command.verb, sender=sender)

    def rcpt(self, command: Pending, reply: Reply) -> None:
        """RCPT was answered."""
        recipient = path(command.argument)
        if reply.refuses:
            self.reject(reply, command, command.verb, recipient=recipient)
        elif reply.accepts and self._transaction is not None:
            self._transaction.recipient_count += 1
            if len(self._transaction.recipients) < RECIPIENTS:
                self._transaction.recipients.append(recipient)

    def add_chunk(self, size: int) -> int:
        """A BDAT chunk of *size* bytes was taken; return the size of the message so far."""
        if self._transaction is None:
            return size
        self._transaction.size += size
        return self._transaction.size

    def hand_over(self, command: Pending) -> None:
        """The content of *command* has ended, and the next transaction may begin before that is answered."""
        command.message, self._transaction = self._transaction, None

    def message(self, command: Pending, reply: Reply) -> bool:
        """The whole message was answered; False while LMTP owes replies for more recipients."""
        transaction: _Transaction | None = command.message or self._transaction
        what = "." if command.verb == "DATA" else command.verb
        if transaction is None:
            if reply.refuses:
                self.reject(reply, command, what)
            return True
        if self._lmtp and transaction.recipient_count:
            self._message_for_next(transaction, command, reply, what)
            if command.answered_for < transaction.recipient_count:
                return False
        elif reply.accepts:
            self._receive(transaction, command, reply, what, transaction.recipients, transaction.recipient_count)
        elif reply.refuses:
            for recipient in transaction.recipients[:SHOWN] or (None,):
                self.reject(reply, command, what, sender=transaction.sender, recipient=recipient)
        if command.message is None:
            self._transaction = None
        return True

    def no_more_replies(self, command: Pending) -> None:
        """LMTP: the server answered once for all recipients (aiosmtpd #517), and meant them all."""
        while self._transaction is not None and 0 < command.answered_for < RECIPIENTS:
            self.message(command, command.last)

    def reject(
        self,
        reply: Reply,
        command: Pending | None,
        what: str | None,
        *,
        sender: str | None = None,
        recipient: str | None = None,
    ) -> None:
        """*what* was refused with *reply*."""
        if sender is None and self._transaction is not None:
            sender = self._transaction.sender
        self._events.append(
            MailRejection(
                sender=sender,
                recipient=recipient,
                reception_protocol=self.protocol,
                peer_hostname=self.hostname,
                response_command=what,
                reply_code=reply.code,
                reply_status=reply.status,
                reply_enhanced_status=reply.enhanced,
                reply_text=reply.text,
                transaction=command.transaction if command is not None else None,
                sequence=command.sequence if command is not None else None,
            )
        )

    def _message_for_next(self, transaction: _Transaction, command: Pending, reply: Reply, what: str) -> None:
        """RFC 2033 4.2: one reply for each recipient that was accepted, in their order."""
        names = transaction.recipients[command.answered_for : command.answered_for + 1]
        command.answered_for += 1
        command.last = reply
        if reply.accepts:
            self._receive(transaction, command, reply, what, names, 1)
        elif reply.refuses:
            self.reject(reply, command, what, recipient=names[0] if names else None)

    def _receive(
        self,
        transaction: _Transaction,
        command: Pending,
        reply: Reply,
        what: str,
        recipients: Sequence[str | None],
        count: int,
    ) -> None:
        self._events.append(
            MailReception(
                spool_id=transaction.spool_id,
                sender=transaction.sender,
                recipients=tuple(name for name in recipients[:SHOWN] if name is not None),
                recipient_count=count,
                size=command.size,
                reception_protocol=self.protocol,
                peer_hostname=self.hostname,
                response_command=what,
                reply_code=reply.code,
                reply_status=reply.status,
                reply_enhanced_status=reply.enhanced,
                reply_text=reply.text,
                transaction=transaction.sequence,
                sequence=command.sequence,
            )
        )
