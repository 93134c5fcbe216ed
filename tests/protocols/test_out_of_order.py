"""Servers that go on before they have answered: the observers are told which command a reply is for."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Any

import pytest

from sessionspan.events import (
    AuthFailure,
    AuthSuccess,
    Command,
    Event,
    MailReception,
    StoreMessageOpen,
    StoreMessageStore,
)
from sessionspan.protocols.imap import IMAPObserver
from sessionspan.protocols.pop3 import POP3Observer
from sessionspan.protocols.smtp import SMTPObserver

ROOT = base64.b64encode(b"\0root\0wrong").decode()


def watch(kind: Any, text: str, who: str | None = None) -> list[Event]:
    """The events of a dialogue; ``S2: ...`` is the reply to the second command, ``S0: ...`` to none."""
    answered = 0

    def which(pending: Sequence[Any]) -> int:
        return next((i for i, command in enumerate(pending) if command.sequence == answered), -1)

    observer = kind(which=which, who=lambda: who, clock=lambda: 0.0)
    events: list[Event] = []
    for line in text.strip().splitlines():
        side, _, rest = line.strip().partition(":")
        rest = rest.removeprefix(" ")
        if side == "C":
            events += observer.client_sent(rest.encode() + b"\r\n")
        else:
            answered = int(side[1:] or 0)
            events += observer.server_sent(rest.encode() + b"\r\n")
    return [*events, *observer.finish()]


def told(events: list[Event]) -> list[str]:
    found = []
    for event in events:
        match event:
            case Command():
                found.append(f"{event.command} {event.reply_code or event.reply_status}")
            case AuthSuccess():
                found.append(f"+ {event.identity}")
            case AuthFailure():
                found.append(f"- {event.user_name}")
            case MailReception():
                found.append(f"mail {event.sender} > {','.join(event.recipients)}")
            case StoreMessageOpen():
                found.append(f"open {event.uid} {event.message_id}")
            case StoreMessageStore():
                found.append(f"store {event.mailbox} {event.size}")
    return found


DIALOGUES = [
    (
        SMTPObserver,
        f"""S: 220 hi
            C: AUTH PLAIN {ROOT}
            C: RSET
            S2: 250 ok
            S1: 535 no""",
        ["RSET 250", "- root", "AUTH 535"],
    ),
    (
        SMTPObserver,
        f"""S: 220 hi
            C: AUTH PLAIN {ROOT}
            C: AUTH LOGIN
            S2: 334 VXNlcm5hbWU6
            S1: 535 no
            C: Ym9i
            S2: 334 UGFzc3dvcmQ6
            C: c2VjcmV0
            S2: 235 yes""",
        ["- root", "AUTH 535", "+ bob", "AUTH 235"],
    ),
    (
        SMTPObserver,
        f"""S: 220 hi
            C: AUTH PLAIN {ROOT}
            C: MAIL FROM:<a@x>
            S2: 250 ok
            C: RCPT TO:<b@x>
            S3: 250 ok
            C: DATA
            S4: 354 go
            C: NOOP
            S1: 535 no
            C: RSET
            C: .
            C: MAIL FROM:<c@x>
            S5: 250 ok
            C: RCPT TO:<d@x>
            S6: 250 ok
            C: RSET
            S7: 250 ok
            S4: 250 taken""",
        [
            *("MAIL 250", "RCPT 250", "- root", "AUTH 535"),
            *("MAIL 250", "RCPT 250", "RSET 250", "mail a@x > b@x", "DATA 250"),
        ],
    ),
    (
        SMTPObserver,
        """S: 220 hi
           C: AUTH LOGIN
           S1: 334 VXNlcm5hbWU6
           S0: 500 too long
           C: Ym9i
           S1: 235 yes""",
        ["+ bob", "AUTH 235"],
    ),
    (
        SMTPObserver,
        """C: NOOP
           S1: 250 nobody greets""",
        ["NOOP 250"],
    ),
    (
        POP3Observer,
        """S: +OK hi
           C: USER root
           S1: +OK
           C: PASS wrong
           C: USER bob
           S3: +OK
           C: PASS secret
           S4: +OK in
           S2: -ERR no""",
        ["USER ok", "USER ok", "+ bob", "PASS ok", "- root", "PASS err"],
    ),
    (
        POP3Observer,
        """S: +OK hi
           C: AUTH PLAIN
           S1: + go
           C: AGJvYgBzZWNyZXQ=
           C: LIST
           S2: +OK
           S2: 1 20
           S2: .
           S1: +OK in""",
        ["LIST ok", "+ bob", "AUTH ok"],
    ),
    (
        POP3Observer,
        """S: +OK hi
           C: AUTH PLAIN
           S1: + go
           C: AGJvYgBzZWNyZXQ=
           C: UIDL
           S2: +OK
           S2: 1 one
           S2: 2 two
           S2: .
           C: RETR 1
           S3: +OK
           S3: Message-ID: <a@x>
           S3: .
           S1: -ERR no
           C: NOOP
           C: RETR 2
           S5: +OK
           S5: Message-ID: <b@x>
           S5: and its connection is lost""",
        [
            *("UIDL ok", "open one a@x", "RETR ok", "- bob", "AUTH err"),
            *("NOOP none", "open two b@x", "RETR ok"),
        ],
    ),
    (
        IMAPObserver,
        f"""S: * OK hi
            C: 1 AUTHENTICATE PLAIN
            S1: + go
            C: {ROOT}
            C: 2 LOGIN bob secret
            S2: 2 OK in
            S1: 1 NO no""",
        ["+ bob", "LOGIN ok", "- root", "AUTHENTICATE no"],
    ),
    (
        IMAPObserver,
        """S: * OK hi
           C: 1 NOOP {30+}
           C: 2 LOGIN bob secret
           S2: 2 OK in
           S1: 1 BAD what""",
        ["+ bob", "LOGIN ok", "NOOP bad"],
    ),
    (
        IMAPObserver,
        """S: * OK hi
            C: 1 NOOP
            C: 2 APPEND a {6}
            S1: 1 OK
            S2: + go
            C: four
            C:
            C: 3 NOOP
            S3: 3 OK
            S2: 2 OK""",
        ["NOOP ok", "NOOP ok", "store a 6", "APPEND ok"],
    ),
    (
        IMAPObserver,
        """S: * OK hi
           C: 1 SELECT a
           C: 2 SELECT b
           S2: * BAD Server error
           S0: * BAD somebody else's
           S1: 1 OK""",
        ["SELECT bad", "SELECT ok"],
    ),
]


@pytest.mark.parametrize(("kind", "text", "expected"), DIALOGUES)
def test_a_reply_counts_for_its_own_command(kind: Any, text: str, expected: list[str]) -> None:
    assert told(watch(kind, text)) == expected


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (SMTPObserver, "S: 220 hi\nC: AUTH PLAIN cm9vdABib2IAc2VjcmV0\nS1: 235 yes"),
        (POP3Observer, "S: +OK hi\nC: USER root\nS1: +OK\nC: PASS secret\nS2: +OK"),
        (IMAPObserver, "S: * OK hi\nC: 1 AUTHENTICATE PLAIN\nS1: +\nC: cm9vdABib2IAc2VjcmV0\nS1: 1 OK"),
    ],
)
def test_whom_the_server_accepts_comes_before_what_the_client_says(kind: Any, text: str) -> None:
    (success,) = [event for event in watch(kind, text, who="bob") if isinstance(event, AuthSuccess)]
    assert success.identity == "bob"


def test_the_text_of_an_error_is_not_shown_where_it_may_be_an_exceptions() -> None:
    for quotes in (True, False):
        observer = POP3Observer(quotes_errors=quotes)
        events: list[Event] = []
        for side, data in [
            ("S", b"+OK hi"),
            ("C", b"STAT"),
            ("S", b"-ERR secret"),
            ("C", b"STAT"),
            ("S", b"+OK 1"),
        ]:
            events += (observer.client_sent if side == "C" else observer.server_sent)(data + b"\r\n")
        shown = [event.reply_text for event in events if isinstance(event, Command)]
        assert shown == ["secret" if quotes else None, "1"]
