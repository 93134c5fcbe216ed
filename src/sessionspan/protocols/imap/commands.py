"""IMAP commands as a client sends them: the closed set of names, and what is kept of one under way."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, NamedTuple

from sessionspan.protocols import dialogue
from sessionspan.protocols.dialogue import OTHER
from sessionspan.protocols.imap.login import Login
from sessionspan.protocols.imap.numbers import SET
from sessionspan.protocols.imap.replies import TAG_LIMIT
from sessionspan.protocols.imap.target import Append, Target
from sessionspan.protocols.sasl import Exchange, mechanism_name

# What may stand in `sessionspan.command.name`. Any other word may be a password that was sent at the wrong
# moment, so it is never looked at again; nor are arguments, but for the user's name (`Login`, `Exchange`), that
# of a mailbox (`Target`), and which messages are marked to go (`Marks`).
VERBS: Final = frozenset(
    [
        "APPEND",
        "AUTHENTICATE",
        "CANCELUPDATE",
        "CAPABILITY",
        "CHECK",
        "CLOSE",
        "COMPARATOR",
        "COMPRESS",
        "CONVERSIONS",
        "CONVERT",
        "COPY",
        "CREATE",
        "DELETE",
        "DELETEACL",
        "ENABLE",
        "ESEARCH",
        "EXAMINE",
        "EXPUNGE",
        "FETCH",
        "GENURLAUTH",
        "GETACL",
        "GETJMAPACCESS",
        "GETMETADATA",
        "GETQUOTA",
        "GETQUOTAROOT",
        "ID",
        "IDLE",
        "LANGUAGE",
        "LIST",
        "LISTRIGHTS",
        "LOGIN",
        "LOGOUT",
        "LSUB",
        "MOVE",
        "MYRIGHTS",
        "NAMESPACE",
        "NOOP",
        "NOTIFY",
        "RENAME",
        "REPLACE",
        "RESETKEY",
        "SEARCH",
        "SELECT",
        "SETACL",
        "SETMETADATA",
        "SETQUOTA",
        "SORT",
        "STARTTLS",
        "STATUS",
        "STORE",
        "SUBSCRIBE",
        "THREAD",
        "UID CONVERT",
        "UID COPY",
        "UID EXPUNGE",
        "UID FETCH",
        "UID MOVE",
        "UID REPLACE",
        "UID SEARCH",
        "UID SORT",
        "UID STORE",
        "UID THREAD",
        "UNAUTHENTICATE",
        "UNSELECT",
        "UNSUBSCRIBE",
        "URLFETCH",
        "XLIST",
    ]
)
_BY_BYTES: Final = {verb.encode(): verb for verb in VERBS}


# What reads the arguments, where a literal may be among them.
_READERS: Final[dict[str, Callable[[bytes], Login | Target]]] = {
    "LOGIN": Login,
    "SELECT": Target,
    "EXAMINE": Target,
    "APPEND": Append,
}

_SET_LIMIT: Final = 512  # bytes of a set of messages that are kept
_STORE: Final = re.compile(rb"(%b) (?:\([^)]*\) )?([+-]?)FLAGS(?:\.SILENT)? (.*)" % SET.pattern, re.IGNORECASE)
_DELETED: Final = re.compile(rb"\\Deleted\b", re.IGNORECASE)


class Marks(NamedTuple):
    """What a STORE does: the *messages*, a set, are *marked* to go with the next EXPUNGE, or no longer."""

    messages: bytes
    marked: bool


@dataclass(slots=True, eq=False)
class Pending(dialogue.Pending):
    """A command that has no tagged reply yet."""

    tag: bytes = b""
    read: bool = False  # to its last line
    answered: bool = False
    reads: Login | Target | None = None  # its arguments
    marks: Marks | None = None  # STORE, UID STORE
    challenged: bool = False  # AUTHENTICATE: the server has begun the exchange
    idle_since: float | None = None  # IDLE: when the server agreed; None when it is over

    @property
    def login(self) -> Login | None:
        """The arguments of LOGIN."""
        return self.reads if isinstance(self.reads, Login) else None


def begin(line: bytes, sequence: int, now: float) -> Pending:
    """The command whose first *line* this is."""
    tag, _, rest = line.partition(b" ")
    verb, argument = _split(rest) if tag else (OTHER, b"")
    command = Pending(verb, sequence, now, tag=tag[:TAG_LIMIT])
    reader = _READERS.get(verb)
    if reader is not None:
        command.reads = reader(argument)
    elif verb in ("STORE", "UID STORE"):
        command.marks = _marks(argument)
    elif verb == "AUTHENTICATE":
        # RFC 4959: what follows the mechanism is a credential.
        mechanism, _, initial = argument.strip().partition(b" ")
        command.mechanism = mechanism_name(mechanism)
        command.exchange = Exchange(command.mechanism, initial.strip() or None)
        command.challenged = bool(initial)
    return command


def _marks(argument: bytes) -> Marks | None:
    found = _STORE.match(argument)
    if found is None:
        return None
    deleted = _DELETED.search(found[3]) is not None
    if found[2] and not deleted:
        return None  # it adds or takes other flags
    messages = found[1]
    if len(messages) > _SET_LIMIT:
        messages = messages[:_SET_LIMIT].rpartition(b",")[0]
    return Marks(messages, deleted and found[2] != b"-")


def _split(text: bytes) -> tuple[str, bytes]:
    """Verb and arguments; those of a verb outside the set are not given out."""
    word, _, argument = text.strip().partition(b" ")
    word = word.upper()
    if word == b"UID":
        second, _, argument = argument.lstrip().partition(b" ")
        word = b"UID " + second.upper()
    verb = _BY_BYTES.get(word)
    return (verb, argument) if verb is not None else (OTHER, b"")
