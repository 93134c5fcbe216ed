"""SMTP commands as a client sends them: the closed set of verbs, and what is kept of one under way."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Final

from sessionspan.protocols import dialogue
from sessionspan.protocols.dialogue import OTHER
from sessionspan.protocols.smtp.replies import UNANSWERED, Reply

# What may stand in `sessionspan.command.name`. The text of any other verb may be a password that was sent
# at the wrong moment, so it is never looked at again.
VERBS: Final = frozenset(
    [
        "ATRN",
        "AUTH",
        "BDAT",
        "BURL",
        "DATA",
        "EHLO",
        "ETRN",
        "EXPN",
        "HELO",
        "HELP",
        "LHLO",
        "MAIL",
        "NOOP",
        "QUIT",
        "RCPT",
        "RSET",
        "SAML",
        "SEND",
        "SOML",
        "STARTTLS",
        "TURN",
        "VRFY",
        "XCLIENT",
        "XFORWARD",
    ]
)
_BY_BYTES: Final = {verb.encode(): verb for verb in VERBS}

TEXT_LIMIT: Final = 512  # characters of an address or a host name that are kept

# RFC 5321 4.1.2: a path in brackets, whose quoted local part may hold a bracket; people leave them out.
_PATH: Final = re.compile(
    rb'\s*(?:FROM|TO)\s*:\s*(?:<((?:"(?:[^"\\]|\\.)*"|[^>"\s])*)(?:>|\s|$)|([^<\s]\S*))', re.IGNORECASE
)


@dataclass(slots=True, eq=False)
class Pending(dialogue.Pending):
    """A command that has no final reply yet."""

    argument: bytes = b""
    transaction: int | None = None
    greets: bool = False  # EHLO, HELO, LHLO: was accepted
    in_content: bool = False  # DATA: got its 354, the next reply is that to the final dot
    size: int = 0  # DATA, BDAT: bytes of message content
    message: Any = None  # DATA: its transaction, when the next one may begin before this is answered
    answered_for: int = 0  # LMTP: recipients whose reply has come
    last: Reply = UNANSWERED  # LMTP: the reply for the last of them


def parse(line: bytes) -> tuple[str, bytes]:
    """Verb and argument of a command line; the argument of a verb outside the set is not given out."""
    word, _, argument = line.partition(b" ")
    verb = _BY_BYTES.get(word.strip().upper())
    return (verb, argument.strip()) if verb is not None else (OTHER, b"")


# Commands whose argument is an envelope: addresses, or a name that the client gave itself.
_ENVELOPES: Final = frozenset(("EHLO", "EXPN", "HELO", "LHLO", "MAIL", "RCPT", "SAML", "SEND", "SOML", "VRFY"))


# Commands that carry a credential (RFC 4468: a URLAUTH) or somebody's identity, and unknown ones, whose reply
# may quote them.
_SECRET: Final = frozenset(("AUTH", "BURL", "XCLIENT", "XFORWARD", OTHER))


def texts(command: Pending, reply: Reply) -> tuple[str | None, str | None, str | None]:
    """What may be shown where people asked for that; of a login, nothing.

    The text of *command*, the same when it is one that carries an envelope, and the text of its *reply*.
    """
    if command.verb in _SECRET:
        return None, None, None
    said = text(command.argument) if command.argument else None
    if command.verb in _ENVELOPES:
        return None, said, reply.text or None
    return said, None, reply.text or None


def path(argument: bytes) -> str | None:
    """The address in the argument of MAIL or RCPT, without brackets; None when there is none."""
    match = _PATH.match(argument)
    if match is None:
        return None
    return text(match[1] if match[1] is not None else match[2])


def text(argument: bytes) -> str:
    """*argument* as text, cut; what is not UTF-8 in it is escaped."""
    return argument[:TEXT_LIMIT].decode("utf-8", "backslashreplace")
