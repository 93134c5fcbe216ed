"""Watches one POP3 connection (RFC 1939, 2449, 2595, 3206, 5034): bytes of both sides in, events out.

How the client's next bytes are read is a mode (see `Dialogue`); what a reply means depends on the command that
it answers, with one function each in `_ANSWERED`::

    GREETING --+OK--> LINES --AUTH--> HELD --+--> SASL --a line--> HELD --+OK--> LINES
                      LINES --STLS--> HELD --+OK--> LINES

A *lock-step* observer listens to what a server takes from its input, line by line, each after it has
answered the one before: bytes that are taken while a command is unanswered mean that it will not be answered.
An observer that is told *which* command is answered hears lines in the same way, but they may be answered later.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from sessionspan.events import AuthFailure, AuthSuccess, Command, Event
from sessionspan.protocols import Which, dialogue, modes
from sessionspan.protocols.dialogue import OTHER, Dialogue, known
from sessionspan.protocols.lines import Lines, pieces
from sessionspan.protocols.maildrop import ListingReader, Maildrop
from sessionspan.protocols.message_id import MessageIdFinder
from sessionspan.protocols.sasl import NAME_LIMIT, Exchange, Names, mechanism_name
from sessionspan.protocols.smtp.content import Content

TEXT_LIMIT: Final = 512  # bytes of the text of a reply that are kept

# What may stand in `sessionspan.command.name`. The text of any other verb may be a password that was sent
# at the wrong moment, so it is never looked at again.
VERBS: Final = frozenset(
    [
        "APOP",
        "AUTH",
        "CAPA",
        "DELE",
        "LANG",
        "LAST",
        "LIST",
        "NOOP",
        "PASS",
        "QUIT",
        "RETR",
        "RSET",
        "STAT",
        "STLS",
        "TOP",
        "UIDL",
        "USER",
        "UTF8",
    ]
)
_BY_BYTES: Final = {verb.encode(): verb for verb in VERBS}

# Replies of many lines, when they are +OK: always, or only where the command has no argument (a bare AUTH
# lists the mechanisms; RFC 5034 no longer has that, servers do).
_LONG: Final = frozenset(("CAPA", "RETR", "TOP"))
_LONG_WHEN_BARE: Final = frozenset(("AUTH", "LANG", "LIST", "UIDL"))

_LISTINGS: Final = frozenset(("LIST", "UIDL"))
_NUMBERS: Final = frozenset(("DELE", "RETR", "TOP", *_LISTINGS))
_NUMBER: Final = re.compile(rb"\d{1,10}(?: +\d{1,10})?")

# IANA's "POP3 Response Codes" (RFC 2449 8, 3206 4, 6856 8), and why they say that a login failed.
RESPONSE_CODES: Final = frozenset(("AUTH", "IN-USE", "LOGIN-DELAY", "SYS/PERM", "SYS/TEMP", "UTF8"))
_ERRORS: Final = {
    "AUTH": "invalid_credentials",
    "IN-USE": "temporary",
    "LOGIN-DELAY": "rate_limited",
    "SYS/PERM": "disabled",
    "SYS/TEMP": "temporary",
}
_RESPONSE_CODE: Final = re.compile(rb"\[([^\[\]\s]{1,40})\]")


class Reply(NamedTuple):
    """The first line of a reply, of most the only one; ``status`` is none when the server sent something else."""

    status: str  # the metric label: ok, err, none
    response_code: str | None = None
    raw_text: bytes = b""
    asks: bool = False  # RFC 5034 4: `+`, the server waits for the client's response

    @property
    def accepts(self) -> bool:
        """Whether the server did what was asked."""
        return self.status == "ok"


UNANSWERED: Final = Reply("none")
_NOBODY: Final = Names()
_STATUS: Final = {b"+OK": "ok", b"-ERR": "err"}


def reply(line: bytes) -> Reply:
    """The reply of which *line* is the first."""
    word, _, text = line.partition(b" ")
    status = _STATUS.get(word.upper(), "none")
    if status == "none":
        return Reply(status, None, text[:TEXT_LIMIT], asks=word == b"+")
    return Reply(status, _response_code(text), text[:TEXT_LIMIT])


def _response_code(text: bytes) -> str | None:
    match = _RESPONSE_CODE.match(text)
    if match is None:
        return None
    return known(match[1], RESPONSE_CODES)


@dataclass(slots=True, eq=False)
class _Pending(dialogue.Pending):
    """A command that has no final reply yet; of its argument only what may be shown."""

    bare: bool = False  # it came without an argument
    number: str | None = None
    names: Names = _NOBODY  # USER, APOP
    first: Reply = UNANSWERED  # the first line of a reply of many lines
    reads: ListingReader | MessageIdFinder | None = None  # its further lines

    @property
    def message(self) -> int | None:
        """The number of the message that it asks for."""
        return int(self.number.split()[0]) if self.number is not None else None

    @property
    def opens(self) -> bool:
        """Whether it asks for the body of a message, or lines of it (RFC 1939 7: TOP)."""
        return self.verb == "RETR" or (self.verb == "TOP" and int((self.number or "0").split()[-1]) > 0)


def parse(line: bytes) -> tuple[str, bytes]:
    """Verb and argument of a command line; the argument of a verb outside the set is not given out."""
    word, *rest = line.split(None, 1) or (b"",)
    verb = _BY_BYTES.get(word.upper())
    return (verb, rest[0].strip() if rest else b"") if verb is not None else (OTHER, b"")


class POP3Observer(Dialogue[_Pending]):
    """Watches one POP3 connection."""

    __slots__ = ("_content", "_drop", "_long", "_outbox", "_quotes_errors", "_refused", "_user", "_who")
    _parse = staticmethod(parse)

    def __init__(
        self,
        *,
        lockstep: bool = False,
        who: Callable[[], str | None] | None = None,
        which: Which | None = None,
        quotes_errors: bool = True,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """*who* says whom the server has accepted, where it tells that; *which* command it answers.

        Without *quotes_errors* the text of ``-ERR`` is never shown, which may be that of an exception; *clock*
        counts seconds.
        """
        super().__init__(clock, lockstep=lockstep, which=which)
        self._who = who
        self._quotes_errors = quotes_errors
        self._outbox = Lines()
        self._content: Content | None = None  # of a reply of many lines, until it ends
        self._long: _Pending | None = None  # whose reply that is
        self._user: str | None = None  # whom USER has named, until PASS
        self._refused = False  # that USER was refused, and told as a login that failed
        self._drop: Maildrop | None = None  # what was shown of it

    # The doors.

    def server_sent(self, data: bytes) -> Sequence[Event]:
        """Take bytes of the server; return the events that they complete."""
        if self._content is not None and not self._outbox.waiting:
            data = self._take_content(data)  # a message, which need not be copied
        for piece in pieces(data):
            self._outbox.feed(piece)
            while self._read_reply():
                self._read()  # what was held may be readable now
        return self._said()

    @property
    def unfinished(self) -> bool:
        """Whether a command or a login is under way, or messages were to be deleted at a QUIT that never came."""
        return bool(self._pending) or self._user is not None or (self._drop is not None and self._drop.deletes)

    # What of a command is kept before it is answered.

    def _begins(self, verb: str, argument: bytes) -> None:
        command = _Pending(verb, self._commands, self._clock(), bare=not argument)
        begin = _BEGINS.get(verb)
        if begin is not None:
            begin(self, command, argument)
        self._pending += (command,)

    def _begin_auth(self, command: _Pending, argument: bytes) -> None:
        if not argument:
            return
        mechanism, _, initial = argument.partition(b" ")
        command.mechanism = mechanism_name(mechanism)
        command.exchange = Exchange(command.mechanism, initial.strip() or None)
        self._mode = modes.HELD

    def _begin_stls(self, command: _Pending, argument: bytes) -> None:
        self._mode = modes.HELD

    def _begin_user(self, command: _Pending, argument: bytes) -> None:
        command.names = _named(argument)

    def _begin_pass(self, command: _Pending, argument: bytes) -> None:
        if self._which is not None:  # USER has been answered by now, and the next one may be before this is
            command.names, self._user = Names(self._user, self._user), None

    def _begin_apop(self, command: _Pending, argument: bytes) -> None:
        command.names = _named(argument.rpartition(b" ")[0])  # what follows is the digest
        command.mechanism = "APOP"

    def _begin_numbered(self, command: _Pending, argument: bytes) -> None:
        if _NUMBER.fullmatch(argument):
            command.number = argument.decode()

    # What the server answers.

    def _read_reply(self) -> bool:
        if self._mode == modes.LOST:
            self._outbox.clear()
            return False
        if self._content is not None:
            data = self._outbox.take()
            self._outbox.put_back(self._take_content(data))
            return bool(data)
        line = self._outbox.next_line()
        if line is None:
            return False
        if self._mode == modes.GREETING:
            self._mode = modes.LINES
        else:
            command = self._being_answered()
            if command is not None:
                self._replied(command, reply(line))
        return True

    def _take_content(self, data: bytes) -> bytes:
        """Take the further lines of a reply from *data*; return what follows the final dot."""
        content, command = self._content, self._long
        assert content is not None
        assert command is not None
        taken = content.feed(data)
        if command.reads is not None:
            command.reads.feed(data[:taken])
        if taken is None:
            return b""
        self._content = self._long = None
        self._opened(command, content.size)
        self._finished(command, command.first)
        return data[taken:]

    def _replied(self, command: _Pending, reply: Reply) -> None:
        if reply.asks and command.exchange is not None:
            self._asks(command, reply.raw_text)
        elif reply.accepts and (command.verb in _LONG or (command.bare and command.verb in _LONG_WHEN_BARE)):
            command.first = reply
            self._content, self._long = Content(), command
            command.reads = self._reader(command)
        else:
            self._finished(command, reply)

    def _finished(self, command: _Pending, reply: Reply) -> None:
        """*command* has its whole reply."""
        if command.exchange is not None and command is self._logging_in():
            self._go_on()
        self._forget(command)
        if self._mode == modes.HELD and not self._pending:
            self._mode = modes.LINES
        answered = _ANSWERED.get(command.verb)
        if answered is not None:
            answered(self, command, reply)
        self._done(command, reply)

    def _gets_no_reply(self, command: _Pending, at_end: bool = False) -> None:
        if command is self._long:
            self._content = self._long = None
            self._opened(command, None)
        if command.verb in _LOGINS:
            self._finished(command, UNANSWERED)
            return
        self._forget(command)
        self._go_on()
        self._done(command, command.first)

    def _done(self, command: _Pending, reply: Reply) -> None:
        self._pause(command)
        shows = command.verb in _SHOWN and (command.bare or command.number is not None)
        shows = shows and (self._quotes_errors or reply.accepts)
        text = reply.raw_text.decode("utf-8", "backslashreplace")
        self._events.append(
            Command(
                command=command.verb,
                sequence=command.sequence,
                duration=None if reply is UNANSWERED else command.busy,
                reply_status=reply.status,
                reply_response_code=reply.response_code,
                text=command.number,
                envelope_text=command.names.user if command.verb == "USER" else None,
                reply_text=(text or None) if shows else None,
            )
        )

    # What is learnt of messages.

    def _maildrop(self) -> Maildrop:
        if self._drop is None:
            self._drop = Maildrop()
        return self._drop

    def _reader(self, command: _Pending) -> ListingReader | MessageIdFinder | None:
        """What reads the further lines of the reply to *command*."""
        if command.verb in _LISTINGS:
            return self._maildrop().begin_listing(command.verb)
        return MessageIdFinder() if command.opens else None

    def _opened(self, command: _Pending, size: int | None) -> None:
        """The reply to *command* has been sent, to its end or not; as a whole it had *size* bytes."""
        if not command.opens or command.message is None:
            return
        found = command.reads.found if isinstance(command.reads, MessageIdFinder) else None
        whole = size if command.verb == "RETR" else None
        self._events.append(self._maildrop().opened(command.message, whole, found))

    # What a reply means, by command.

    def _answered_user(self, command: _Pending, reply: Reply) -> None:
        self._refused = reply.status == "err"
        self._user = None if self._refused else command.names.user
        if self._refused:
            self._events.append(_failure(command, command.names, reply))

    def _answered_pass(self, command: _Pending, reply: Reply) -> None:
        if self._which is not None:
            user = command.names.user
        else:
            user, self._user = self._user, None
        refused, self._refused = self._refused, False
        if reply.accepts:
            identity = (self._who() if self._who is not None else None) or user
            self._events.append(AuthSuccess(identity=identity, user_name=user))
        elif not refused:  # else USER has told it, and a client that pipelines could not know
            self._events.append(_failure(command, Names(user, user), reply))

    def _answered_login(self, command: _Pending, reply: Reply) -> None:
        if command.mechanism is None:
            return  # AUTH that asks for the list
        names = command.exchange.names if command.exchange is not None else command.names
        if not reply.accepts:
            self._events.append(_failure(command, names, reply))
            return
        self._user = None
        # The library first: not every server looks at the authorization identity that a client asks for.
        identity = (self._who() if self._who is not None else None) or names.acts_as
        success = AuthSuccess(identity=identity, mechanism=command.mechanism, user_name=names.user)
        self._events.append(success)

    def _answered_stls(self, command: _Pending, reply: Reply) -> None:
        if reply.accepts:
            # RFC 2595 4: nothing is kept of what was said before, nor of what was sent too early.
            self._user = None
            self._refused = False
            self._inbox.clear()

    def _answered_listing(self, command: _Pending, reply: Reply) -> None:
        if reply.accepts and command.message is not None:
            self._maildrop().learn(command.verb, command.message, reply.raw_text)

    def _answered_dele(self, command: _Pending, reply: Reply) -> None:
        if reply.accepts and command.message is not None:
            self._maildrop().delete(command.message)

    def _answered_rset(self, command: _Pending, reply: Reply) -> None:
        if reply.accepts and self._drop is not None:
            self._drop.keep_all()

    def _answered_quit(self, command: _Pending, reply: Reply) -> None:
        # RFC 1939 6: the server goes, even when it could not delete all of the messages; then nobody knows which.
        if reply.status == "none":
            return
        if self._drop is not None:
            if reply.accepts:
                self._events += self._drop.deleted()
            self._drop = None
        self._user = None
        self.end_reason = "quit"


def _named(name: bytes) -> Names:
    # No name holds control characters: what does is something else, sent at the wrong moment.
    if any(byte < 0x20 or byte == 0x7F for byte in name):
        return _NOBODY
    shown = name.strip().decode("utf-8", "backslashreplace")[:NAME_LIMIT] or None
    return Names(shown, shown)


def _failure(command: _Pending, names: Names, reply: Reply) -> AuthFailure:
    """A login that *reply* refused. RFC 3206 2: without a response code nobody knows why."""
    error = "cancelled" if command.cancelled else _ERRORS.get(reply.response_code or "", "_OTHER")
    return AuthFailure(mechanism=command.mechanism, user_name=names.user, error_type=error)


_BEGINS: Final[dict[str, Callable[[POP3Observer, _Pending, bytes], None]]] = {
    "APOP": POP3Observer._begin_apop,
    "AUTH": POP3Observer._begin_auth,
    "PASS": POP3Observer._begin_pass,
    "STLS": POP3Observer._begin_stls,
    "USER": POP3Observer._begin_user,
    **dict.fromkeys(_NUMBERS, POP3Observer._begin_numbered),
}

_ANSWERED: Final[dict[str, Callable[[POP3Observer, _Pending, Reply], None]]] = {
    "APOP": POP3Observer._answered_login,
    "AUTH": POP3Observer._answered_login,
    "DELE": POP3Observer._answered_dele,
    **dict.fromkeys(_LISTINGS, POP3Observer._answered_listing),
    "PASS": POP3Observer._answered_pass,
    "QUIT": POP3Observer._answered_quit,
    "RSET": POP3Observer._answered_rset,
    "STLS": POP3Observer._answered_stls,
    "USER": POP3Observer._answered_user,
}

_LOGINS: Final = frozenset(("APOP", "AUTH", "PASS"))
# The text of these replies may be shown where people asked for it, unless the argument was none of POP3's: a
# reply may quote it.
_SHOWN: Final = VERBS - _LOGINS - {"LANG", "USER", "UTF8"}
