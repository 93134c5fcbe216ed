"""The server protocols of twisted.mail: where each is in its dialogue, and how it reads a command."""

from __future__ import annotations

from typing import Any, Final

from sessionspan.object_taps import Tap, TapDuring
from sessionspan.protocols.imap import IMAPObserver
from sessionspan.protocols.pop3 import POP3Observer
from sessionspan.protocols.smtp import SMTPObserver
from sessionspan.scope import Scope
from sessionspan_twisted.connection import Connection

SMTP_SCOPE: Final = Scope("sessionspan_twisted_smtp")
POP3_SCOPE: Final = Scope("sessionspan_twisted_pop3")
IMAP_SCOPE: Final = Scope("sessionspan_twisted_imap")


class SMTPConnection(Connection):
    """A connection of ``twisted.mail.smtp.SMTP``, ``ESMTP`` and their subclasses."""

    __slots__ = ()
    scope = SMTP_SCOPE
    name = "SMTP"

    def observer(self) -> Any:
        """See `Connection.observer`."""
        return SMTPObserver(who=self.who, which=self.which)

    @property
    def expects_command(self) -> bool:
        """See `Connection.expects_command`."""
        return bool(self.protocol.mode == "COMMAND")

    @property
    def in_content(self) -> bool:
        """See `Connection.in_content`."""
        return bool(self.protocol.mode == "DATA")

    def as_taken(self, line: bytes) -> bytes:
        """See `Connection.as_taken`: any white space separates, also in front."""
        return b" ".join(line.split(None, 1))


class POP3Connection(Connection):
    """A connection of ``twisted.mail.pop3.POP3`` and its subclasses."""

    __slots__ = ()
    scope = POP3_SCOPE
    name = "POP3"

    def observer(self) -> Any:
        """See `Connection.observer`. Twisted says -ERR with the texts of exceptions."""
        return POP3Observer(who=self.who, which=self.which, quotes_errors=False)

    @property
    def expects_command(self) -> bool:
        """See `Connection.expects_command`."""
        return bool(self.protocol.state == "COMMAND")


class IMAPConnection(Connection):
    """A connection of ``twisted.mail.imap4.IMAP4Server`` and its subclasses."""

    __slots__ = ()
    scope = IMAP_SCOPE
    name = "IMAP"

    def observer(self) -> Any:
        """See `Connection.observer`."""
        return IMAPObserver(who=self.who, which=self.which)

    @property
    def expects_command(self) -> bool:
        """See `Connection.expects_command`."""
        return bool(self.protocol.parseState == "command")

    def as_taken(self, line: bytes) -> bytes:
        """See `Connection.as_taken`: any white space separates, also in front."""
        return b" ".join(line.split(None, 2))

    def listens_to_lines(self) -> list[Tap]:
        """See `Connection.listens_to_lines`; literals are not taken by lines."""
        return [*super().listens_to_lines(), TapDuring(self.protocol, "rawDataReceived", self._takes_literal)]

    def takes_line(self, line: bytes) -> None:
        """See `Connection.takes_line`; while a FETCH is being sent, lines are kept, and taken afterwards."""
        if self.protocol.blocked is None:
            super().takes_line(line)
        else:
            self.keeps_line()

    def _takes_literal(self, data: bytes) -> None:
        # What follows the literal in *data* comes again, by lines.
        self.client(data[: max(0, getattr(self.protocol._pendingLiteral, "size", len(data)))])

    def which(self, pending: Any) -> int:
        """See `Connection.which`: without a tag only the line is answered that is being taken."""
        return next((i for i, command in enumerate(pending) if command.sequence == self.command), -1)
