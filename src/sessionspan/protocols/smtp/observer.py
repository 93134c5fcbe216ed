"""Watches one SMTP or LMTP connection: bytes of both sides in, events out.

How the client's next bytes are read is a mode, with one function each in `_readers`; what a reply means
depends on the command that it answers, with one function each in `_ANSWERED`::

    GREETING --220--> LINES --DATA--> HELD --354--> CONTENT --CRLF.CRLF--> LINES
                      LINES --AUTH--> HELD --334--> SASL --a line--> HELD --235--> LINES
                      LINES --STARTTLS--> HELD --220--> LINES
                      LINES --BDAT n--> CHUNK --n bytes--> LINES

A *lock-step* observer listens to what a server takes from its input, line by line, each after it has
answered the one before. It never has to guess: bytes that are taken while a command is unanswered mean
that it will not be answered, and the content of a message ends when the server answers it. An observer that is
told *which* command is answered hears lines in the same way, but they may be answered later, in any order.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import ClassVar, Final

from sessionspan.events import Command, Event
from sessionspan.protocols import Which
from sessionspan.protocols.dialogue import Dialogue
from sessionspan.protocols.modes import CHUNK, CONTENT, GREETING, HELD, LINES, LOST, SASL
from sessionspan.protocols.sasl import Exchange, mechanism_name
from sessionspan.protocols.smtp import auth, commands
from sessionspan.protocols.smtp.commands import Pending
from sessionspan.protocols.smtp.content import Content
from sessionspan.protocols.smtp.mail import Mail
from sessionspan.protocols.smtp.replies import UNANSWERED, Replies, Reply

_NO_CONTENT: Final = Content()


class SMTPObserver(Dialogue[Pending]):
    """Watches one SMTP or LMTP connection."""

    # Slots, and small queues: a server keeps one of these for each idle connection.
    __slots__ = (
        "_chunk_left",
        "_chunking",
        "_content",
        "_mail",
        "_replies",
        "_who",
    )
    _parse = staticmethod(commands.parse)

    def __init__(
        self,
        *,
        lmtp: bool = False,
        lockstep: bool = False,
        who: Callable[[], str | None] | None = None,
        which: Which | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """*who* says whom the server has accepted, where it tells that; *which* command it answers.

        *clock* counts seconds.
        """
        super().__init__(clock, lockstep=lockstep, which=which)
        self._who = who
        self._replies = Replies()
        self._mail = Mail(lmtp, self._events)
        self._content = _NO_CONTENT  # a new one for each message
        self._chunk_left = 0
        self._chunking = False  # the server offers BDAT

    # The doors.

    def client_sent(self, data: bytes) -> Sequence[Event]:
        """Take bytes of the client; return the events that they complete."""
        if self._mode == CONTENT:  # then nothing waits
            taken = self._content.feed(data)
            if taken is None:
                return ()
            data = self._content_ended(data, taken)
        elif self._mode == LINES:
            line = self._inbox.only_line(data)
            if line is not None:
                self._take_line(line)
                return self._said() if self._events else ()
        return super().client_sent(data)

    def server_sent(self, data: bytes) -> Sequence[Event]:
        """Take bytes of the server; return the events that they complete."""
        for reply in self._replies.replies(data):
            self._replied(reply)
            if self._inbox.waiting:
                self._read()  # what was held may be readable now
        return self._said() if self._events else ()

    @property
    def unfinished(self) -> bool:
        """Whether a command, a login or a mail transaction is under way."""
        if self._pending and self._pending[0].answered_for:
            return False  # LMTP: a message that was answered, for the first of its recipients at least
        return bool(self._pending) or self._mail.under_way

    @property
    def in_content(self) -> bool:
        """Whether the client sends content whose end only its dot or the server's answer shows: in lock-step."""
        return self._mode == CONTENT and self._lockstep

    # What the client sends, by mode.

    def _read_content(self) -> bool:
        data = self._inbox.take()
        self._inbox.put_back(self._take_content(data))
        return bool(data)

    def _take_content(self, data: bytes) -> bytes:
        """Take content from *data*; return what follows the final dot."""
        taken = self._content.feed(data)
        return b"" if taken is None else self._content_ended(data, taken)

    def _content_ended(self, data: bytes, taken: int) -> bytes:
        """The final dot is in *data*, *taken* bytes of which were content; return the rest."""
        for command in self._pending:
            if command.in_content:
                command.since = self._clock()
                if self._which is not None:
                    self._mail.hand_over(command)
                break
        self._mode = HELD if self._lockstep else LINES
        return data[taken:]

    def _read_chunk(self) -> bool:
        data = self._inbox.take(self._chunk_left)
        if not data:
            return False
        if self._pending:
            self._pending[-1].since = self._clock()
        self._chunk_left -= len(data)
        if self._chunk_left == 0:
            self._mode = LINES
        return True

    # What a command changes before it is answered.

    def _begins(self, verb: str, argument: bytes) -> None:
        command = Pending(verb, self._commands, self._clock(), argument=argument)
        begin = _BEGINS.get(verb)
        if begin is not None:
            begin(self, command)
        self._pending += (command,)

    def _begin_in_transaction(self, command: Pending) -> None:
        self._mail.number(command)

    def _begin_data(self, command: Pending) -> None:
        self._mail.number(command)
        self._mode = HELD

    def _begin_starttls(self, command: Pending) -> None:
        self._mode = HELD

    def _begin_auth(self, command: Pending) -> None:
        mechanism, _, initial = command.argument.partition(b" ")
        command.argument = mechanism  # what follows is a credential, and is not kept
        command.exchange = Exchange(mechanism_name(mechanism), initial.strip() or None)
        self._mode = HELD

    def _begin_bdat(self, command: Pending) -> None:
        self._mail.number(command)
        size = command.argument.partition(b" ")[0]
        if not size.isdigit() or len(size) > 15 or int(size) == 0:
            return
        # RFC 3030 2: the octets follow at once. A server that does not know BDAT takes them for commands.
        if self._lockstep or self._chunking:
            self._chunk_left = command.size = int(size)
            self._mode = CHUNK

    # What the server answers.

    def _replied(self, reply: Reply) -> None:
        if self._mode == GREETING:
            self._mode = LINES
            if reply.refuses:
                self._mail.reject(reply, None, None)
        elif self._mode != LOST:
            command = self._being_answered()
            if command is not None and _ANSWERED.get(command.verb, _BY_DEFAULT)(self, command, reply):
                self._forget(command)
                self._done(command, reply)

    def _gets_no_reply(self, command: Pending, at_end: bool = False) -> None:
        self._forget(command)
        self._mail.no_more_replies(command)
        if command.verb == "AUTH" and not at_end:  # a client that goes while it logs in has not failed to
            self._events.append(auth.failed(command, UNANSWERED))
        self._done(command, command.last)
        self._go_on()

    def _done(self, command: Pending, reply: Reply) -> None:
        self._pause(command)
        text, envelope_text, reply_text = commands.texts(command, reply)
        self._events.append(
            Command(
                command=command.verb,
                sequence=command.sequence,
                duration=None if reply is UNANSWERED else command.busy,
                reply_code=reply.code,
                reply_status=reply.status,
                reply_enhanced_status=reply.enhanced,
                transaction=command.transaction,
                peer_hostname=self._mail.hostname if command.greets else None,
                text=text,
                envelope_text=envelope_text,
                reply_text=reply_text,
            )
        )

    # What a reply means, by command. True: the command is done.

    def _answered(self, command: Pending, reply: Reply) -> bool:
        if self._mode == HELD and len(self._pending) == 1:
            self._mode = LINES
        return True

    def _answered_helo(self, command: Pending, reply: Reply) -> bool:
        if reply.accepts:
            command.greets = True
            self._mail.reset()  # RFC 5321 4.1.4
            self._mail.hostname = commands.text(command.argument)
            self._chunking = reply.offers_chunking
            if command.verb == "EHLO":
                self._mail.protocol = "ESMTP"
        return True

    def _answered_mail(self, command: Pending, reply: Reply) -> bool:
        self._mail.mail(command, reply)
        return True

    def _answered_rcpt(self, command: Pending, reply: Reply) -> bool:
        self._mail.rcpt(command, reply)
        return True

    def _answered_rset(self, command: Pending, reply: Reply) -> bool:
        if reply.accepts:
            self._mail.reset()
        return True

    def _answered_quit(self, command: Pending, reply: Reply) -> bool:
        if reply.accepts:
            self._mail.reset()
            self.end_reason = "quit"
        return True

    def _answered_starttls(self, command: Pending, reply: Reply) -> bool:
        if reply.accepts:
            # RFC 3207 4.2: nothing is kept of what was said before, nor of what was sent too early.
            self._mail.reset()
            self._mail.hostname = None
            self._inbox.clear()
        return self._answered(command, reply)

    def _answered_auth(self, command: Pending, reply: Reply) -> bool:
        if reply.code == 334:
            self._asks(command, reply.text.encode())
            return False
        if self._mode in (HELD, SASL) and command is self._logging_in():
            self._mode = LINES
        self._events.append(auth.succeeded(command, self._who) if reply.accepts else auth.failed(command, reply))
        return True

    def _answered_data(self, command: Pending, reply: Reply) -> bool:
        if command.in_content:
            if self._lockstep or (self._which is not None and self._mode == CONTENT):
                self._mode = LINES
            command.size = self._content.size
            if self._mail.message(command, reply):
                return True
            self._pause(command)  # LMTP: more replies may come, or none (aiosmtpd #517)
            return False
        if reply.code == 354:
            command.in_content = True
            self._content = Content()
            self._pause(command)
            self._mode = CONTENT
            return False
        if reply.refuses:
            self._mail.reject(reply, command, command.verb)
        return self._answered(command, reply)

    def _answered_bdat(self, command: Pending, reply: Reply) -> bool:
        if self._lockstep and self._mode == CHUNK and self._chunk_left:
            self._mode, self._chunk_left = LINES, 0  # answered before its octets: not understood
        command.size = self._mail.add_chunk(command.size)
        if reply.refuses or command.argument.upper().endswith(b"LAST"):
            return self._mail.message(command, reply)
        return True

    _readers: ClassVar[Mapping[int, Callable[[SMTPObserver], bool]]] = {
        **Dialogue._readers,
        CONTENT: _read_content,
        CHUNK: _read_chunk,
    }


_BEGINS: Final[dict[str, Callable[[SMTPObserver, Pending], None]]] = {
    "MAIL": SMTPObserver._begin_in_transaction,
    "RCPT": SMTPObserver._begin_in_transaction,
    "DATA": SMTPObserver._begin_data,
    "BDAT": SMTPObserver._begin_bdat,
    "AUTH": SMTPObserver._begin_auth,
    "STARTTLS": SMTPObserver._begin_starttls,
}

_BY_DEFAULT: Final = SMTPObserver._answered
_ANSWERED: Final[dict[str, Callable[[SMTPObserver, Pending, Reply], bool]]] = {
    "HELO": SMTPObserver._answered_helo,
    "EHLO": SMTPObserver._answered_helo,
    "LHLO": SMTPObserver._answered_helo,
    "MAIL": SMTPObserver._answered_mail,
    "RCPT": SMTPObserver._answered_rcpt,
    "RSET": SMTPObserver._answered_rset,
    "QUIT": SMTPObserver._answered_quit,
    "STARTTLS": SMTPObserver._answered_starttls,
    "AUTH": SMTPObserver._answered_auth,
    "DATA": SMTPObserver._answered_data,
    "BDAT": SMTPObserver._answered_bdat,
}
