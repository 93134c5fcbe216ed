"""Watches one ManageSieve connection: bytes of both sides in, events out.

Replies come in the order of the commands. How the client's next bytes are read is a mode, with one function
each in `_readers`::

    GREETING --OK--> LINES --{n+}--> LITERAL --n bytes--> MORE --a line--> LINES
                     LINES --{n}--> ANNOUNCED --+--> LITERAL
                     LINES --AUTHENTICATE--> HELD --a string--> SASL --a string--> HELD --OK--> LINES
                     LINES --STARTTLS--> HELD --OK--> LINES
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import ClassVar, Final

from sessionspan.events import AuthEnd, Command, Event
from sessionspan.protocols import modes
from sessionspan.protocols.dialogue import Dialogue
from sessionspan.protocols.managesieve import auth, commands
from sessionspan.protocols.managesieve.commands import Pending
from sessionspan.protocols.managesieve.replies import UNANSWERED, Replies, Reply
from sessionspan.protocols.managesieve.strings import SieveSegments, Strings


class ManageSieveObserver(Dialogue[Pending]):
    """Watches one ManageSieve connection."""

    __slots__ = ("_bye", "_bye_reason", "_current", "_knows_literals", "_left", "_replies")
    _inbox: SieveSegments
    _parse = staticmethod(commands.parse)

    def __init__(self, *, bye: str | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        """*bye* is the end reason when the server says BYE: to a client ``peer_close``. *clock* counts seconds."""
        super().__init__(clock, inbox=SieveSegments())
        self._bye_reason = bye
        self._bye: Reply | None = None
        self._replies = Replies()
        self._current: Pending | None = None  # whose bytes the client sends
        self._left = 0  # bytes of a literal that are still to come
        self._knows_literals = True  # the server does, as far as we know

    # The doors.

    def client_sent(self, data: bytes) -> Sequence[Event]:
        """Take bytes of the client; return the events that they complete."""
        if self._mode == modes.LITERAL and not self._inbox.waiting:
            taken = data[: self._left]
            self._take_literal(taken)
            data = data[len(taken) :]
        return super().client_sent(data)

    def server_sent(self, data: bytes) -> Sequence[Event]:
        """Take bytes of the server; return the events that they complete."""
        for reply in self._replies.feed(data):
            self._replied(reply)
            self._read()  # what was held may be readable now
        return self._said()

    @property
    def unfinished(self) -> bool:
        """Whether a command or a login is under way."""
        return bool(self._pending)

    # What the client sends, by mode.

    def _begins(self, verb: str, argument: bytes) -> None:
        command = Pending(verb, self._commands, self._clock())
        if verb == "AUTHENTICATE":
            command.strings = Strings()
        self._current = command
        self._pending += (command,)
        self._take_segment(command, argument)

    def _read_more(self) -> bool:
        line = self._inbox.next_line()
        if line is None:
            return False
        assert self._current is not None
        self._current.since = self._clock()
        self._take_segment(self._current, line)
        return True

    def _read_sasl(self) -> bool:
        line = self._inbox.next_line()
        if line is None:
            return False
        assert self._current is not None
        self._take_segment(self._current, line)
        return True

    def _take_segment(self, command: Pending, text: bytes) -> None:
        """A line of *command*, or of a response to a challenge: does it go on behind a literal?"""
        literal = self._inbox.literal if self._knows_literals else None
        if command.strings is not None:
            command.strings.line(text, literal=literal is not None)
        if literal is None:
            self._whole(command)
        elif literal.waits:
            # Of a command that was refused already nobody asks for more.
            self._left = literal.size
            self._mode = modes.LINES if command.answered else modes.ANNOUNCED
        else:
            self._left = literal.size
            self._mode = modes.LITERAL

    def _whole(self, command: Pending) -> None:
        """All of *command*, or of a response in its exchange, was read."""
        if command.answered:
            self._mode = modes.LINES
        elif command.read:
            self._take_response(command, b"".join(command.take_strings()[:1]))
        else:
            command.read = True
            self._mode = modes.HELD if command.verb in _HOLDS else modes.LINES
            if command.verb == "AUTHENTICATE":
                command.begin_exchange()

    def _read_literal(self) -> bool:
        data = self._inbox.take(self._left)
        if self._left and not data:
            return False
        self._take_literal(data)
        return True

    def _take_literal(self, data: bytes) -> None:
        if self._current is not None and self._current.strings is not None:
            self._current.strings.literal(data)
        self._left -= len(data)
        if self._left == 0:
            self._mode = modes.MORE

    # What the server answers.

    def _replied(self, reply: Reply) -> None:
        if reply.status == "none":
            self._asked(reply)
            return
        if reply.status == "bye":
            self._bye = reply
            leaves = any(command.verb == "LOGOUT" for command in self._pending)
            self.end_reason = "quit" if leaves else self._bye_reason
        if self._mode == modes.GREETING:
            self._mode = modes.LINES
        elif self._pending and (not reply.capabilities or self._pending[0].verb == "CAPABILITY"):
            self._answered(self._pending[0], reply)
        elif not reply.capabilities:
            self._answered_nobody()
        # RFC 5804 2.1, 2.2: else they are listed because of a security layer, which nobody asked for.

    def _asked(self, reply: Reply) -> None:
        """The server waits for the client, or said something that is no reply."""
        command = self._current
        if command is None or not self._pending or command is not self._pending[0]:
            return
        if reply.asks and self._mode == modes.ANNOUNCED:
            self._pause(command)
            self._mode = modes.LITERAL
        elif reply.challenge is not None and self._mode in (modes.HELD, modes.ANNOUNCED):
            if self._mode == modes.ANNOUNCED:
                self._whole(command)  # the server went on without it
            if command.exchange is None:
                return
            command.strings = Strings()
            command.challenged = True
            self._asks(command, reply.challenge)

    def _answered(self, command: Pending, reply: Reply) -> None:
        self._forget(command)
        if command is self._current and self._mode in (modes.HELD, modes.SASL, modes.ANNOUNCED):
            self._go_on()
        means = _ANSWERED.get(command.verb)
        if means is not None:
            means(self, command, reply)
        self._done(command, reply)

    def _answered_nobody(self) -> None:
        """A reply that no command waits for."""
        # A command that was refused before its literal: the server passes over it. But this one has taken the
        # literal for a command, so it knows none.
        if self._mode in (modes.LITERAL, modes.MORE):
            self._knows_literals = False
            self._mode, self._left = modes.LINES, 0

    def _gets_no_reply(self, command: Pending, at_end: bool = False) -> None:
        """*command* gets no reply, unless the server's BYE was one."""
        self._forget(command)
        # A client that goes while it logs in has not failed to.
        if command.verb == "AUTHENTICATE" and self._bye is not None:
            self._events.append(auth.failed(command, self._bye))
        self._done(command, self._bye or UNANSWERED)

    def _done(self, command: Pending, reply: Reply) -> None:
        command.answered = True
        command.strings = None
        self._pause(command)
        self._events.append(
            Command(
                command=command.verb,
                sequence=command.sequence,
                duration=None if reply is UNANSWERED else command.busy,
                reply_status=reply.status,
                reply_response_code=reply.code,
            )
        )

    # What a reply means, by command.

    def _answered_authenticate(self, command: Pending, reply: Reply) -> None:
        self._events.append(auth.succeeded(command) if reply.accepts else auth.failed(command, reply))

    def _answered_unauthenticate(self, command: Pending, reply: Reply) -> None:
        if reply.accepts:
            self._events.append(AuthEnd())  # RFC 5804 2.14

    def _answered_starttls(self, command: Pending, reply: Reply) -> None:
        if reply.accepts:
            self._inbox.clear()  # RFC 5804 2.2: what was sent too early is not to be trusted

    def _answered_logout(self, command: Pending, reply: Reply) -> None:
        if reply.accepts:
            self.end_reason = "quit"

    _readers: ClassVar[Mapping[int, Callable[[ManageSieveObserver], bool]]] = {
        **Dialogue._readers,
        modes.SASL: _read_sasl,
        modes.ANNOUNCED: Dialogue._read_held,
        modes.LITERAL: _read_literal,
        modes.MORE: _read_more,
    }


# After these the client waits for what the server says.
_HOLDS: Final = frozenset(("AUTHENTICATE", "STARTTLS"))

_ANSWERED: Final[dict[str, Callable[[ManageSieveObserver, Pending, Reply], None]]] = {
    "AUTHENTICATE": ManageSieveObserver._answered_authenticate,
    "LOGOUT": ManageSieveObserver._answered_logout,
    "STARTTLS": ManageSieveObserver._answered_starttls,
    "UNAUTHENTICATE": ManageSieveObserver._answered_unauthenticate,
}
