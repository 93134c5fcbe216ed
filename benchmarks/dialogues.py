"""What a client of the benchmarks says: one session of each protocol, and how many events it has."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

_LINE: Final = b"The quick brown fox jumps over the lazy dog, and the dog says nothing.\r\n"
_HEAD: Final = b"From: <alice@example.org>\r\nTo: <bob@example.net>\r\nSubject: benchmark\r\n\r\n"
MESSAGE: Final = _HEAD + _LINE * ((2048 - len(_HEAD)) // len(_LINE))
USER: Final = "alice"
PASSWORD: Final = "benchmark"


class Step(NamedTuple):
    """One command, and how the answer to it begins, or of many lines the last one."""

    command: bytes
    expected: bytes
    is_long: bool = False  # POP3: up to a line with a dot


class Dialogue(NamedTuple):
    """One session."""

    protocol: str
    says: str  # for people
    greeting: bytes
    steps: tuple[Step, ...]
    events: int  # that it has
    is_whole: Callable[[bytes, Step], bool]  # an answer


def _smtp_is_whole(received: bytes, step: Step) -> bool:
    return received.endswith(b"\n") and received.splitlines()[-1][3:4] != b"-"


def _pop3_is_whole(received: bytes, step: Step) -> bool:
    return received.endswith(b"\r\n.\r\n" if step.is_long else b"\n")


def _imap_is_whole(received: bytes, step: Step) -> bool:
    # pymap's messages have no line that begins like a tagged answer.
    return received.endswith(b"\n") and received.splitlines()[-1].startswith(step.expected.split()[0])


# The command that ends the message is the message. start, EHLO, MAIL, RCPT, reception, DATA, QUIT, end
SMTP: Final = Dialogue(
    "smtp",
    "EHLO, MAIL, RCPT, DATA with 2 kB, QUIT",
    b"220",
    (
        Step(b"EHLO client.example.org\r\n", b"250"),
        Step(b"MAIL FROM:<alice@example.org>\r\n", b"250"),
        Step(b"RCPT TO:<bob@example.net>\r\n", b"250"),
        Step(b"DATA\r\n", b"354"),
        Step(MESSAGE + b".\r\n", b"250"),
        Step(b"QUIT\r\n", b"221"),
    ),
    8,
    _smtp_is_whole,
)

# start, USER, auth.success, PASS, STAT, LIST, message.open, RETR, QUIT, auth.end, end
POP3: Final = Dialogue(
    "pop3",
    "USER, PASS, STAT, LIST, RETR of 2 kB, QUIT",
    b"+OK",
    (
        Step(f"USER {USER}\r\n".encode(), b"+OK"),
        Step(f"PASS {PASSWORD}\r\n".encode(), b"+OK"),
        Step(b"STAT\r\n", b"+OK"),
        Step(b"LIST\r\n", b".", is_long=True),
        Step(b"RETR 1\r\n", b".", is_long=True),
        Step(b"QUIT\r\n", b"+OK"),
    ),
    11,
    _pop3_is_whole,
)

# start, auth.success, LOGIN, SELECT, message.open, FETCH, NOOP, LOGOUT, auth.end, end
IMAP: Final = Dialogue(
    "imap",
    "LOGIN, SELECT, FETCH of one message, NOOP, LOGOUT",
    b"* OK",
    (
        Step(f"1 LOGIN {USER} {PASSWORD}\r\n".encode(), b"1 OK"),
        Step(b"2 SELECT INBOX\r\n", b"2 OK"),
        Step(b"3 FETCH 1 (FLAGS BODY.PEEK[])\r\n", b"3 OK"),
        Step(b"4 NOOP\r\n", b"4 OK"),
        Step(b"5 LOGOUT\r\n", b"5 OK"),
    ),
    10,
    _imap_is_whole,
)

DIALOGUES: Final = {dialogue.protocol: dialogue for dialogue in (SMTP, POP3, IMAP)}
