"""What observers of protocols of lines share: commands until their replies, and the time that each takes.

A protocol is a subclass. It says what a line says (``_parse``) and what of a command is kept (``_begins``), or
both at once (``_take_line``), what it is when it has no reply (``_gets_no_reply``), and, where that is special,
how the client's next bytes are read in each mode (``_readers``). How replies are read, and which command they
answer, is its own.

A *lock-step* observer listens to what a server takes from its input, line by line, each after it has
answered the one before: bytes that are taken while a command is unanswered mean that it will not be answered.
An observer that is told *which* command is answered hears lines in the same way, but they may be answered later.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Final, Generic, TypeVar

from sessionspan.events import Event
from sessionspan.protocols import Which
from sessionspan.protocols.lines import Lines, pieces
from sessionspan.protocols.modes import GREETING, HELD, LINES, LOST, SASL
from sessionspan.protocols.sasl import Exchange

PENDING: Final = 1000  # pipelined commands without a reply, beyond which we lose track
OTHER: Final = "_OTHER"  # a verb, or a code, outside of the closed set


@dataclass(slots=True, eq=False)
class Pending:
    """A command that has no final reply yet."""

    verb: str
    sequence: int
    since: float | None  # when the server began to work on it; None while it waits for the client
    busy: float = 0.0  # seconds that the server has worked on it
    mechanism: str | None = None
    exchange: Exchange | None = None  # of a login by SASL
    cancelled: bool = False  # of such a login: the client sent `*`


P = TypeVar("P", bound=Pending)


class Dialogue(Generic[P]):
    """Watches one connection: bytes of both sides in, events out."""

    # Slots, and small queues: a server keeps one of these for each idle connection.
    __slots__ = (
        "_clock",
        "_commands",
        "_events",
        "_inbox",
        "_lockstep",
        "_mode",
        "_pending",
        "_which",
        "end_reason",
    )

    def __init__(
        self,
        clock: Callable[[], float],
        *,
        lockstep: bool = False,
        which: Which | None = None,
        inbox: Lines | None = None,
    ) -> None:
        """*clock* counts seconds; *which* says which command the server answers, else it is the first."""
        self.end_reason: str | None = None
        self._clock = clock
        self._lockstep = lockstep
        self._which = which
        self._mode = GREETING
        self._inbox = inbox if inbox is not None else Lines()
        self._pending: tuple[P, ...] = ()  # in the order in which they were sent
        self._events: list[Event] = []
        self._commands = 0

    # What each protocol says of itself.

    @staticmethod
    def _parse(line: bytes) -> tuple[str, bytes]:
        """Verb and argument of the line that begins a command; the argument of a verb outside the set is empty."""
        raise NotImplementedError

    def _begins(self, verb: str, argument: bytes) -> None:
        """A command begins, number ``_commands``: put it with those that wait for a reply."""
        raise NotImplementedError

    def _gets_no_reply(self, command: P, at_end: bool = False) -> None:
        """*command* gets no reply, or no end of one: tell it, and wait for it no longer."""
        raise NotImplementedError

    def _passes_over(self) -> None:
        """In lock-step: the server takes a line before it has answered what waits."""
        self._gets_no_reply(self._pending[0])

    # The doors.

    def client_sent(self, data: bytes) -> Sequence[Event]:
        """Take bytes of the client; return the events that they complete."""
        for piece in pieces(data):
            self._inbox.feed(piece)
            self._read()
        return self._said()

    def finish(self) -> Sequence[Event]:
        """The connection is over: return the events of what was left open."""
        while self._pending:
            self._gets_no_reply(self._pending[0], at_end=True)
        self._lose_track()
        return self._said()

    @property
    def in_content(self) -> bool:
        """Whether what the client sends now is content, of which lines may be told some at a time."""
        return False

    @property
    def taken(self) -> int:
        """How many commands were read: the sequence number of the last one."""
        return self._commands

    def _said(self) -> Sequence[Event]:
        if not self._events:
            return ()
        events = tuple(self._events)
        self._events.clear()
        return events

    def _lose_track(self) -> None:
        """Read nothing any more."""
        self._mode = LOST
        self._inbox.clear()

    def _forget(self, command: P) -> None:
        """*command* waits for a reply no longer."""
        if self._pending[0] is command:
            self._pending = self._pending[1:]
        else:
            index = self._pending.index(command)
            self._pending = self._pending[:index] + self._pending[index + 1 :]

    # What the client sends, by mode. A reader returns whether it read something.

    def _read(self) -> None:
        while self._readers[self._mode](self):
            pass
        if self._inbox.overflowed:
            self._lose_track()

    def _read_greeting(self) -> bool:
        if self._lockstep:
            self._inbox.clear()
        return self._read_held() if self._which is not None else False  # a server that does not greet

    def _read_held(self) -> bool:
        if not self._lockstep and self._which is None:
            return False
        self._mode = LINES  # what is taken before a reply is a command; in lock-step there will be no reply
        return True

    def _read_lost(self) -> bool:
        self._inbox.clear()
        return False

    def _read_line(self) -> bool:
        line = self._inbox.next_line()
        if line is None:
            return False
        return self._take_line(line)

    def _take_line(self, line: bytes) -> bool:
        """*line* is a command's, unless it turns out otherwise; return whether it was read."""
        verb, argument = self._parse(line)
        if self._lockstep and self._pending:
            if verb == OTHER and self._pending[0].exchange is not None:
                self._take_response(self._pending[0], line)  # a mechanism of somebody's own
                return True
            self._passes_over()
        if len(self._pending) >= PENDING:
            self._mode = LOST
            return False
        self._commands += 1
        self._begins(verb, argument)
        return True

    def _read_sasl(self) -> bool:
        line = self._inbox.next_line()
        if line is None:
            return False
        self._take_response(self._logging_in(), line)
        return True

    def _logging_in(self) -> P:
        """The command whose exchange is under way: the last one that has any."""
        return next(command for command in reversed(self._pending) if command.exchange is not None)

    def _take_response(self, command: P, response: bytes) -> None:
        command.since = self._clock()
        if response.strip() == b"*":  # RFC 4954 4, 5034 4, 5804 2.1, 9051 6.2.2
            command.cancelled = True
        elif command.exchange is not None:
            command.exchange.response(response)
        self._mode = HELD

    # What the server answers.

    def _being_answered(self) -> P | None:
        """The command that the server answers now; None when it is none of those that wait."""
        if self._which is None:
            return self._pending[0] if self._pending else None
        index = self._which(self._pending)
        return self._pending[index] if 0 <= index < len(self._pending) else None

    def _asks(self, command: P, challenge: bytes) -> None:
        """The server asks the client for the next response of the exchange."""
        if command.exchange is not None:
            command.exchange.challenge(challenge)
        self._pause(command)
        self._mode = SASL

    def _go_on(self) -> None:
        """The reply that decides how to go on has come: commands again, unless we lost track."""
        if self._mode != LOST:
            self._mode = LINES

    def _pause(self, command: P) -> None:
        """Stop the clock of *command*: while the server waits for the client, the time is not its own."""
        if command.since is not None:
            command.busy += self._clock() - command.since
            command.since = None

    _readers: ClassVar[Mapping[int, Callable[[Any], bool]]] = {
        GREETING: _read_greeting,
        LINES: _read_line,
        HELD: _read_held,
        SASL: _read_sasl,
        LOST: _read_lost,
    }


def known(code: bytes, codes: frozenset[str]) -> str:
    """*code* as *codes* has it, by the levels that it has (``QUOTA/MAXSIZE``, RFC 2449 8, 5804 1.3)."""
    found = code.decode("ascii", "replace").upper()
    while found and found not in codes:
        found = found.rpartition("/")[0]  # a client knows the first levels
    return found or OTHER
