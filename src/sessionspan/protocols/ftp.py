"""Watches the control connection of one FTP session (RFC 959, 2228, 4217): bytes in, events out.

A command is done with its final reply (2xx to 5xx). A transfer has a preliminary one (1xx) before, and while
it goes on the server answers other commands, so replies are told apart by their codes (`_answers`).

A *lock-step* observer is fed what a server takes from its input, line by line, when it takes it: what is
taken while a command is unanswered, and is no transfer under way, means that it will not be answered.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from sessionspan.events import AuthEnd, AuthFailure, AuthSuccess, Command, Event
from sessionspan.protocols import dialogue, modes
from sessionspan.protocols.dialogue import OTHER, Dialogue
from sessionspan.protocols.lines import Lines, pieces
from sessionspan.protocols.sasl import NAME_LIMIT

TEXT_LIMIT: Final = 512  # of an argument or a reply that are kept

# What may stand in `sessionspan.command.name`: the IANA registry (RFC 5797) and what clients send besides. The
# text of any other verb may be a password that was sent at the wrong moment, so it is never looked at again.
VERBS: Final = frozenset(
    [
        "ABOR",
        "ACCT",
        "ADAT",
        "ALGS",
        "ALLO",
        "APPE",
        "AUTH",
        "CCC",
        "CDUP",
        "CLNT",
        "CONF",
        "CWD",
        "DELE",
        "ENC",
        "EPRT",
        "EPSV",
        "FEAT",
        "HASH",
        "HELP",
        "HOST",
        "LANG",
        "LIST",
        "LPRT",
        "LPSV",
        "MDTM",
        "MFCT",
        "MFF",
        "MFMT",
        "MIC",
        "MKD",
        "MLSD",
        "MLST",
        "MODE",
        "NLST",
        "NOOP",
        "OPTS",
        "PASS",
        "PASV",
        "PBSZ",
        "PORT",
        "PROT",
        "PWD",
        "QUIT",
        "REIN",
        "REST",
        "RETR",
        "RMD",
        "RNFR",
        "RNTO",
        "SITE",
        "SIZE",
        "SMNT",
        "STAT",
        "STOR",
        "STOU",
        "STRU",
        "SYST",
        "TYPE",
        "USER",
        "XCRC",
        "XCUP",
        "XCWD",
        "XMD5",
        "XMKD",
        "XPWD",
        "XRMD",
        "XSHA1",
        "XSHA256",
    ]
)
_BY_BYTES: Final = {verb.encode(): verb for verb in VERBS}

_LOGIN: Final = frozenset(("USER", "PASS", "ACCT"))
_TRANSFERS: Final = frozenset(("APPE", "LIST", "MLSD", "NLST", "RETR", "STOR", "STOU"))
# Of these nothing is shown, nor of their replies: the argument is a credential, or may be one (SITE PSWD, and
# RFC 2228: ENC and its kin carry whole commands, encoded).
_SECRET: Final = frozenset(("ACCT", "ADAT", "AUTH", "CONF", "ENC", "MIC", "PASS", "SITE", OTHER))
# These take no argument; one that comes with them is something else, sent at the wrong moment.
_BARE: Final = frozenset(
    ("ABOR", "CCC", "CDUP", "FEAT", "NOOP", "PASV", "PWD", "QUIT", "REIN", "SYST", "XCUP", "XPWD")
)

# RFC 959 5.4: how a transfer ends. 250 may do so, too, but is the answer to CWD and DELE; 225 is that to ABOR.
_ENDS_TRANSFER: Final = frozenset((226, 421, 425, 426, 451, 452, 522, 551, 552))

_STATUS: Final = {2: "2xx", 3: "3xx", 4: "4xx", 5: "5xx"}
_ERRORS: Final = {
    421: "temporary",
    430: "invalid_credentials",
    450: "temporary",
    451: "temporary",
    500: "disabled",
    501: "malformed",
    502: "disabled",
    503: "malformed",
    530: "invalid_credentials",
    532: "not_authorized",
    533: "encryption_required",
    534: "not_authorized",
    535: "invalid_credentials",
    550: "encryption_required",  # so say pyftpdlib and ProFTPD
}


@dataclass(frozen=True, slots=True)
class Reply:
    """One reply; of many lines the text of the last one."""

    code: int
    text: str

    @property
    def status(self) -> str:
        """The metric label of the code: 2xx, 3xx, 4xx, 5xx or none."""
        return _STATUS.get(self.code // 100, "none")


@dataclass(slots=True, eq=False)
class _Pending(dialogue.Pending):
    """A command that has no final reply yet."""

    argument: bytes = b""
    under_way: bool = False  # a transfer that got its preliminary reply


class Replies:
    """Bytes of the server in, whole replies out. Lines that belong to none are left out."""

    __slots__ = ("_code", "_lines")

    def __init__(self) -> None:
        self._lines = Lines()
        self._code: bytes | None = None  # of a reply of many lines, until it ends

    def feed(self, data: bytes) -> list[Reply]:
        """Add *data*; return the replies that it completes."""
        done: list[Reply] = []
        for piece in pieces(data):
            self._lines.feed(piece)
            while (line := self._lines.next_line()) is not None:
                self._take(line, done)
        return done

    def _take(self, line: bytes, done: list[Reply]) -> None:
        code, mark = line[:3], line[3:4]
        # RFC 959 4.2: lines between `123-` and `123 ` may begin with anything, another code included.
        if self._code is not None and not (code == self._code and mark in (b" ", b"")):
            return
        if not (code.isdigit() and len(code) == 3):
            return
        if mark == b"-":
            self._code = code
        elif mark in (b" ", b""):
            self._code = None
            done.append(Reply(int(code), line[4:][:TEXT_LIMIT].decode("utf-8", "backslashreplace")))


def parse(line: bytes) -> tuple[str, bytes]:
    """Verb and argument of a command line; the argument of a verb outside the set is not given out."""
    # RFC 959 4.1.3: ABOR, STAT and QUIT may come behind the Telnet signals IP and Synch, which are all >= 240.
    start = 0
    while start < len(line) and line[start] >= 240:
        start += 1
    word, _, argument = line[start:].partition(b" ")
    verb = _BY_BYTES.get(word.upper())
    return (verb, argument) if verb is not None else (OTHER, b"")


class FTPObserver(Dialogue[_Pending]):
    """Watches one control connection."""

    __slots__ = ("_greeted", "_logged_in", "_replies", "_user")
    _parse = staticmethod(parse)

    def __init__(self, *, lockstep: bool = False, clock: Callable[[], float] = time.monotonic) -> None:
        """*clock* counts seconds."""
        super().__init__(clock, lockstep=lockstep)
        self._mode = modes.LINES
        self._replies = Replies()
        self._greeted = False
        self._user: str | None = None  # whom USER has named
        self._logged_in = False

    # The doors.

    def server_sent(self, data: bytes) -> Sequence[Event]:
        """Take bytes of the server; return the events that they complete."""
        for reply in self._replies.feed(data):
            if self._greeted:
                self._replied(reply)
            else:
                self._greeted = reply.code >= 200  # 120: the service will be ready in some minutes
        return self._said()

    @property
    def unfinished(self) -> bool:
        """Whether a command, a login or a transfer is under way."""
        return bool(self._pending)

    # What the client sends.

    def _passes_over(self) -> None:
        for command in [command for command in self._pending if not command.under_way]:
            self._gets_no_reply(command)

    def _begins(self, verb: str, argument: bytes) -> None:
        kept = b"" if verb in _SECRET else argument
        self._pending += (_Pending(verb, self._commands, self._clock(), argument=kept),)

    # What the server answers.

    def _replied(self, reply: Reply) -> None:
        command = self._answers(reply)
        if command is None or self._mode == modes.LOST:
            return
        if reply.code < 200:
            self._transfer_begins(command)
            return
        self._forget(command)
        if command.verb in _LOGIN:
            self._answered_login(command, reply)
        elif reply.status == "2xx":
            _ACCEPTED.get(command.verb, FTPObserver._accepted)(self)
        self._done(command, reply)

    def _answers(self, reply: Reply) -> _Pending | None:
        """The command that *reply* belongs to; None for one that nobody asked for."""
        waiting = [command for command in self._pending if not command.under_way]
        if reply.code < 200:
            return next((command for command in waiting if command.verb in _TRANSFERS), None)
        transfer = next((command for command in self._pending if command.under_way), None)
        if transfer is not None and (not waiting or reply.code in _ENDS_TRANSFER):
            return transfer
        return waiting[0] if waiting else None

    def _transfer_begins(self, transfer: _Pending) -> None:
        """*transfer* got its preliminary reply. There is one data connection, so it was the last one's end."""
        for other in [command for command in self._pending if command.under_way]:
            self._gets_no_reply(other)
        transfer.under_way = True

    def _gets_no_reply(self, command: _Pending, at_end: bool = False) -> None:
        self._forget(command)
        if command.verb in ("PASS", "ACCT"):
            self._events.append(AuthFailure(user_name=self._user))
        self._done(command, None)

    def _done(self, command: _Pending, reply: Reply | None) -> None:
        self._pause(command)
        text, envelope_text, reply_text = _texts(command, reply)
        self._events.append(
            Command(
                command=command.verb,
                sequence=command.sequence,
                duration=None if reply is None else command.busy,
                reply_code=None if reply is None else reply.code,
                reply_status="none" if reply is None else reply.status,
                text=text,
                envelope_text=envelope_text,
                reply_text=reply_text,
            )
        )

    # What a reply means, by command.

    def _answered_login(self, command: _Pending, reply: Reply) -> None:
        if command.verb == "USER":
            self._user = _text(command.argument, NAME_LIMIT) or None
        # 230, and RFC 2228 5: 232 where the security exchange was proof enough. 202, 331, 332: to be continued.
        if reply.code in (230, 232):
            self._events.append(AuthSuccess(identity=self._user, user_name=self._user))
            self._logged_in = True
        elif reply.status in ("4xx", "5xx"):
            error = _ERRORS.get(reply.code, "_OTHER")
            self._events.append(AuthFailure(user_name=self._user, error_type=error))

    def _accepted(self) -> None:
        """Nothing but the reply itself is to be told."""

    def _accepted_auth(self) -> None:
        # RFC 4217 4: what was said before is not to be trusted, nor what was sent too early.
        self._user = None
        self._inbox.clear()

    def _accepted_rein(self) -> None:
        if self._logged_in:
            self._events.append(AuthEnd())  # RFC 959 4.1.1: all account information is flushed
        self._user, self._logged_in = None, False

    def _accepted_abor(self) -> None:
        # The transfer has had its 426 before this, or was not to have one (225).
        for transfer in [command for command in self._pending if command.under_way]:
            self._gets_no_reply(transfer)

    def _accepted_quit(self) -> None:
        self.end_reason = "quit"


_ACCEPTED: Final[dict[str, Callable[[FTPObserver], None]]] = {
    "ABOR": FTPObserver._accepted_abor,
    "AUTH": FTPObserver._accepted_auth,
    "QUIT": FTPObserver._accepted_quit,
    "REIN": FTPObserver._accepted_rein,
}


class _Texts(NamedTuple):
    text: str | None = None
    envelope_text: str | None = None
    reply_text: str | None = None


def _texts(command: _Pending, reply: Reply | None) -> _Texts:
    """What of *command* and its *reply* may be shown where people asked for that; of a login, the name."""
    if command.verb in _SECRET or (command.verb in _BARE and command.argument):
        return _Texts()  # the reply may quote what was sent
    argument = _text(command.argument) or None
    if command.verb == "USER":
        return _Texts(envelope_text=argument)
    return _Texts(argument, reply_text=(reply.text or None) if reply is not None else None)


def _text(argument: bytes, limit: int = TEXT_LIMIT) -> str:
    """*argument* as text, cut; what is not UTF-8 in it is escaped."""
    return argument[:limit].decode("utf-8", "backslashreplace")[:limit]
