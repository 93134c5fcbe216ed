"""ManageSieve commands as a client sends them: the closed set of names, and what is kept of one under way."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from sessionspan.protocols import dialogue
from sessionspan.protocols.dialogue import OTHER
from sessionspan.protocols.managesieve.strings import Strings
from sessionspan.protocols.sasl import Exchange, mechanism_name

# What may stand in `sessionspan.command.name`. Any other word may be a password that was sent at the wrong
# moment, so it is never looked at again; nor are arguments, be they scripts, but for those of AUTHENTICATE.
VERBS: Final = frozenset(
    [
        "AUTHENTICATE",
        "CAPABILITY",
        "CHECKSCRIPT",
        "DELETESCRIPT",
        "GETSCRIPT",
        "HAVESPACE",
        "LISTSCRIPTS",
        "LOGOUT",
        "NOOP",
        "PUTSCRIPT",
        "RENAMESCRIPT",
        "SETACTIVE",
        "STARTTLS",
        "UNAUTHENTICATE",
    ]
)
_BY_BYTES: Final = {verb.encode(): verb for verb in VERBS}
# A word ends where an atom does: `AUTHENTICATE"PLAIN"` is a login to pymap.
_WORD: Final = re.compile(rb"\s*([^\s\"%()*{}\\\]]+)")


@dataclass(slots=True, eq=False)
class Pending(dialogue.Pending):
    """A command that has no final reply yet."""

    read: bool = False  # to its last line
    answered: bool = False
    strings: Strings | None = None  # AUTHENTICATE: of the command, or of the response, that is being read
    challenged: bool = False  # AUTHENTICATE: the exchange has begun

    def begin_exchange(self) -> None:
        """AUTHENTICATE was read: its strings are the mechanism and, maybe, the initial response."""
        mechanism, *initial = self.take_strings() or [b""]
        self.mechanism = mechanism_name(mechanism)
        self.exchange = Exchange(self.mechanism, (initial[0] or None) if initial else None)
        self.challenged = bool(initial)

    def take_strings(self) -> list[bytes]:
        """What was said; it is forgotten here."""
        strings, self.strings = self.strings, None
        return strings.values if strings is not None else []


def parse(line: bytes) -> tuple[str, bytes]:
    """Name and arguments; those of a name outside the set are not given out."""
    word = _WORD.match(line)
    verb = _BY_BYTES.get(word[1].upper()) if word is not None else None
    return (verb, line[word.end() :]) if word is not None and verb is not None else (OTHER, b"")
