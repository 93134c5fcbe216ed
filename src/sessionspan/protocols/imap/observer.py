"""Watches one IMAP connection: bytes of both sides in, events out.

How the client's next bytes are read is a mode, with one function each in `_readers`. A reply finds its command
by its tag; where the client waits for a `+`, so do we, whether the bytes are those of the wire or those that a
server takes from its input::

    GREETING --* OK--> LINES --{n}--> HELD --+--> LITERAL --n bytes--> MORE --a line--> LINES
                       LINES --{n+}--> LITERAL
                       LINES --AUTHENTICATE--> HELD --+--> SASL --a line--> HELD --a1 OK--> LINES
                       LINES --IDLE--> HELD --+--> IDLE --DONE--> LINES
                       LINES --STARTTLS--> HELD --a1 OK--> LINES
                       LINES --COMPRESS--> HELD --a1 OK--> LOST
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import ClassVar, Final

from sessionspan.events import AuthEnd, AuthSuccess, Command, Event, IdleEnd, IdleStart
from sessionspan.protocols import Which, modes
from sessionspan.protocols.dialogue import OTHER, PENDING, Dialogue
from sessionspan.protocols.imap import auth, commands
from sessionspan.protocols.imap.commands import Pending
from sessionspan.protocols.imap.replies import CONTINUATION, UNANSWERED, UNTAGGED, Replies, Reply
from sessionspan.protocols.imap.segments import Segments
from sessionspan.protocols.imap.store import Store


class IMAPObserver(Dialogue[Pending]):
    """Watches one IMAP connection."""

    __slots__ = ("_bye", "_bye_reason", "_current", "_left", "_replies", "_store", "_who")
    _inbox: Segments

    def __init__(
        self,
        *,
        bye: str | None = None,
        who: Callable[[], str | None] | None = None,
        which: Which | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """*bye* is the end reason when the server says BYE: to a client ``peer_close``.

        *who* says whom the server has accepted, where it tells that; *which* command it answers without its tag.
        *clock* counts seconds.
        """
        super().__init__(clock, which=which, inbox=Segments())
        self._who = who
        self._bye_reason = bye
        self._replies = Replies()
        self._store = Store()
        self._current: Pending | None = None  # whose bytes the client sends
        self._left = 0  # bytes of a literal that are still to come
        self._bye: Reply | None = None

    # The doors.

    def client_sent(self, data: bytes) -> Sequence[Event]:
        """Take bytes of the client; return the events that they complete."""
        if self._mode == modes.LITERAL and not self._inbox.waiting:
            taken = min(self._left, len(data))
            self._take_literal(data[: min(taken, self._wanted())], taken)
            data = data[taken:]
        return super().client_sent(data)

    def server_sent(self, data: bytes) -> Sequence[Event]:
        """Take bytes of the server; return the events that they complete."""
        if self._mode == modes.LOST:
            return ()
        for response in self._replies.feed(data):
            if isinstance(response, Reply):
                self._replied(response)
                self._read()  # what was held may be readable now
            else:
                self._events += self._store.shown(response, self._pending)
        return self._said()

    @property
    def unfinished(self) -> bool:
        """Whether a command is under way, other than waiting for news (IDLE)."""
        return any(command.idle_since is None for command in self._pending)

    def _lose_track(self) -> None:
        super()._lose_track()
        self._replies.clear()

    # What the client sends, by mode. A reader returns whether it read something.

    def _read_held(self) -> bool:
        if self._which is None or not self._inbox.waiting:
            return False
        self._mode = modes.LINES  # the server has taken a line, and so awaits none of what we did
        return True

    def _take_line(self, line: bytes) -> bool:
        if len(self._pending) >= PENDING:
            # A login is the last to be given up: nobody hides one behind a thousand NOOPs.
            self._gets_no_reply(next((c for c in self._pending if c.verb != "LOGIN"), self._pending[0]))
        self._commands += 1
        self._current = commands.begin(line, self._commands, self._clock())
        self._pending += (self._current,)
        self._line_was_read(self._current)
        return True

    def _read_more(self) -> bool:
        line = self._inbox.next_line()
        if line is None:
            return False
        assert self._current is not None
        self._current.since = self._clock()
        if self._current.reads is not None:
            self._current.reads.line(line)
        self._line_was_read(self._current)
        return True

    def _line_was_read(self, command: Pending) -> None:
        """A line of *command* was read: is there more of it, and who is next?"""
        literal = self._inbox.literal
        if literal is not None:
            self._left = literal.size
            if command.reads is not None:
                command.reads.begins(literal.size)
            # RFC 7888 4: a command that was refused early goes on, but nobody asks for more of it.
            held = modes.LINES if command.answered else modes.HELD
            self._mode = held if literal.waits or self._which is not None else modes.LITERAL
            return
        command.read = True
        self._mode = modes.HELD if command.verb in _HOLDS and not command.answered else modes.LINES

    def _read_literal(self) -> bool:
        data = self._inbox.take(self._left) if self._left else b""
        if self._left and not data:
            return False
        self._take_literal(data, len(data))
        return True

    def _wanted(self) -> int:
        """How many bytes of the literal are to be looked at."""
        command = self._current
        return command.reads.wants if command is not None and command.reads is not None else 0

    def _take_literal(self, data: bytes, size: int) -> None:
        """*size* bytes of the literal have come, of which *data* are the first."""
        if self._current is not None and self._current.reads is not None:
            self._current.reads.literal(data)
        self._left -= size
        if self._left == 0:
            self._mode = modes.MORE

    def _read_sasl(self) -> bool:
        line = self._inbox.next_line()
        if line is None:
            return False
        assert self._current is not None
        self._take_response(self._current, line)
        return True

    def _read_idle(self) -> bool:
        # RFC 2177 3: DONE. Whatever else it is, the server takes it for the end, too.
        if self._inbox.next_line() is None:
            return False
        assert self._current is not None
        self._idle_ends(self._current)
        self._mode = modes.LINES
        return True

    # What the server answers.

    def _replied(self, reply: Reply) -> None:
        if self._mode == modes.GREETING:
            self._mode = modes.LINES
            if reply.status == "preauth":
                self._events.append(AuthSuccess())
        if reply.tag == CONTINUATION:
            self._asked_for_more(reply)
        elif reply.tag == UNTAGGED:
            self._told(reply)
        else:
            command = next((command for command in self._pending if command.tag == reply.tag), None)
            if command is not None:
                self._answered(command, reply)

    def _asked_for_more(self, reply: Reply) -> None:
        command = self._current
        if self._mode not in (modes.HELD, modes.SASL) or command is None:
            return
        if not command.read:
            self._pause(command)
            self._mode = modes.LITERAL
        elif command.exchange is not None:
            command.challenged = True
            self._asks(command, reply.challenge)
        elif command.verb == "IDLE":
            self._pause(command)
            command.idle_since = self._clock()
            self._events.append(IdleStart())
            self._mode = modes.IDLE

    def _told(self, reply: Reply) -> None:
        """The server said something that has no tag."""
        if reply.status == "bye":
            self._bye = reply
            leaves = any(command.verb == "LOGOUT" for command in self._pending)
            self.end_reason = "quit" if leaves else self._bye_reason
        elif reply.status == "bad" and self._pending:
            # RFC 9051 7.1.3: an error in a line in which the server found no command, maybe no tag.
            index = self._which(self._pending) if self._which is not None else 0
            meant = self._pending[index]
            if index >= 0 and (self._which is not None or meant.verb == OTHER or not meant.read):
                self._answered(meant, reply)

    def _answered(self, command: Pending, reply: Reply) -> None:
        self._forget(command)
        if command is self._current:
            if self._mode in (modes.HELD, modes.SASL, modes.IDLE):
                self._mode = modes.LINES
            elif self._mode in (modes.LITERAL, modes.MORE) and reply.status == "bad":
                self._mode, self._left = modes.LINES, 0  # it does not know `{n+}`, and takes it for commands
        means = _ANSWERED.get(command.verb)
        if means is not None:
            means(self, command, reply)
        self._events += self._store.answered(command, reply)
        self._done(command, reply)

    def _gets_no_reply(self, command: Pending, at_end: bool = False) -> None:
        """*command* gets no reply, unless the server's BYE was one."""
        self._forget(command)
        reply = self._bye or UNANSWERED
        if command.verb in auth.COMMANDS and (self._bye is not None or not at_end):
            self._events.append(auth.failed(command, reply))
        self._done(command, reply)

    def _done(self, command: Pending, reply: Reply) -> None:
        command.answered = True
        self._idle_ends(command)
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

    def _idle_ends(self, command: Pending) -> None:
        if command.idle_since is not None:
            now = self._clock()
            self._events.append(IdleEnd(duration=now - command.idle_since))
            command.idle_since, command.since = None, now

    # What a reply means, by command.

    def _answered_login(self, command: Pending, reply: Reply) -> None:
        self._events.append(auth.succeeded(command, self._who) if reply.accepts else auth.failed(command, reply))

    def _answered_unauthenticate(self, command: Pending, reply: Reply) -> None:
        if reply.accepts:
            self._events.append(AuthEnd())  # RFC 8437 2

    def _answered_starttls(self, command: Pending, reply: Reply) -> None:
        if reply.accepts:
            self._inbox.clear()  # RFC 9051 6.2.1: what was sent too early is not to be trusted

    def _answered_compress(self, command: Pending, reply: Reply) -> None:
        if reply.accepts:
            self._lose_track()  # RFC 4978 3: from here on both sides speak DEFLATE

    def _answered_logout(self, command: Pending, reply: Reply) -> None:
        if reply.accepts:
            self.end_reason = "quit"

    _readers: ClassVar[Mapping[int, Callable[[IMAPObserver], bool]]] = {
        **Dialogue._readers,
        modes.GREETING: _read_held,
        modes.HELD: _read_held,
        modes.LITERAL: _read_literal,
        modes.MORE: _read_more,
        modes.SASL: _read_sasl,
        modes.IDLE: _read_idle,
    }


# After these the client waits for what the server says.
_HOLDS: Final = frozenset(("AUTHENTICATE", "COMPRESS", "IDLE", "STARTTLS"))

_ANSWERED: Final[dict[str, Callable[[IMAPObserver, Pending, Reply], None]]] = {
    "LOGIN": IMAPObserver._answered_login,
    "AUTHENTICATE": IMAPObserver._answered_login,
    "UNAUTHENTICATE": IMAPObserver._answered_unauthenticate,
    "STARTTLS": IMAPObserver._answered_starttls,
    "COMPRESS": IMAPObserver._answered_compress,
    "LOGOUT": IMAPObserver._answered_logout,
}
