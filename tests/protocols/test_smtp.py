"""The SMTP observer on dialogues: (side, bytes) turns in, events out."""

from __future__ import annotations

import base64
import itertools
import random
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sessionspan.events import AuthFailure, AuthSuccess, Command, Event, MailReception, MailRejection
from sessionspan.protocols.lines import HELD_LIMIT
from sessionspan.protocols.smtp import SMTPObserver
from sessionspan.protocols.smtp.commands import path
from sessionspan.protocols.smtp.content import Content
from tests.protocols.dialogues import Turn, dialogue


def b64(text: bytes) -> bytes:
    return base64.b64encode(text)


def watch(turns: list[Turn], **options: object) -> list[Event]:
    """The events of a dialogue, with a clock that stands still."""
    observer = SMTPObserver(clock=lambda: 0.0, **options)  # type: ignore[arg-type]
    events: list[Event] = []
    for side, data in turns:
        events += observer.client_sent(data) if side == "C" else observer.server_sent(data)
    return [*events, *observer.finish()]


def told(events: list[Event]) -> list[str]:
    return [_tell(event) for event in events]


def _tell(event: Event) -> str:
    match event:
        case Command():
            return f"{event.command} {event.reply_code}"
        case AuthSuccess():
            return f"+ {event.mechanism} {event.identity}"
        case AuthFailure():
            return f"- {event.mechanism} {event.user_name} {event.error_type}"
        case MailReception():
            return f"mail {event.sender} > {','.join(event.recipients)} {event.size}"
        case MailRejection():
            return f"refused {event.response_command} {event.recipient or event.sender} {event.reply_code}"
    raise AssertionError(event)


SESSION = dialogue(
    """
    S: 220 mx.example ESMTP
    C: EHLO client.example
    S: 250-mx.example
    S: 250-CHUNKING
    S: 250 AUTH PLAIN LOGIN
    C: AUTH PLAIN AGFsaWNlAHdyb25n
    S: 535 5.7.8 no
    C: AUTH LOGIN
    S: 334 VXNlciBOYW1lAA==
    C: YWxpY2U=
    S: 334 UGFzc3dvcmQA
    C: c2VjcmV0
    S: 235 2.7.0 yes
    C: MAIL FROM:<a@x.org> SIZE=100
    S: 250 2.1.0 ok
    C: RCPT TO:<b@y.org>
    S: 250 2.1.5 ok
    C: rcpt to:<nobody@y.org>
    S: 550 5.1.1 no such user
    C: DATA
    S: 354 go
    C: Subject: hi
    C: ..stuffed
    C: .
    S: 250 2.0.0 queued
    C: VRFY root
    S: 252 maybe
    C: c2VjcmV0
    S: 500 command "C2VJCMV0" not recognized
    C: QUIT
    S: 221 bye
    """
)
TOLD = [
    "EHLO 250",
    "- PLAIN alice invalid_credentials",
    "AUTH 535",
    "+ LOGIN alice",
    "AUTH 235",
    "MAIL 250",
    "RCPT 250",
    "refused RCPT nobody@y.org 550",
    "RCPT 550",
    f"mail a@x.org > b@y.org {len('Subject: hi') + 2 + len('.stuffed') + 2}",
    "DATA 250",
    "VRFY 252",
    "_OTHER 500",
    "QUIT 221",
]


@pytest.mark.parametrize("lockstep", [True, False])
def test_a_whole_session_is_told(lockstep: bool) -> None:
    assert told(watch(SESSION, lockstep=lockstep)) == TOLD


@pytest.mark.parametrize("lockstep", [True, False])
@given(seed=st.integers())
@settings(max_examples=150)
def test_any_chunking_gives_the_same_events(lockstep: bool, seed: int) -> None:
    rng = random.Random(seed)
    turns = []
    for side, data in SESSION:
        while data:
            size = rng.randint(1, 7)
            turns.append((side, data[:size]))
            data = data[size:]
    assert told(watch(turns, lockstep=lockstep)) == TOLD


def test_pipelined_commands_meet_their_replies() -> None:
    turns = [
        ("S", b"220 hi\r\n"),
        ("C", b"EHLO c\r\nMAIL FROM:<a@x>\r\nRCPT TO:<b@y>\r\nRCPT TO:<c@y>\r\nDATA\r\n"),
        ("S", b"250-mx\r\n250 PIPELINING\r\n250 ok\r\n250 ok\r\n550 5.1.1 no\r\n354 go\r\n"),
        ("C", b"x\r\n.\r\nQUIT\r\n"),
        ("S", b"250 queued\r\n221 bye\r\n"),
    ]
    assert told(watch(turns)) == [
        "EHLO 250",
        "MAIL 250",
        "RCPT 250",
        "refused RCPT c@y 550",
        "RCPT 550",
        "mail a@x > b@y 3",
        "DATA 250",
        "QUIT 221",
    ]


def test_content_that_came_with_its_data_is_no_command() -> None:
    turns = [
        ("S", b"220 hi\r\n"),
        ("C", b"HELO c\r\nMAIL FROM:<a@x>\r\nRCPT TO:<b@y>\r\nDATA\r\nQUIT\r\n.\r\nNOOP\r\n"),
        ("S", b"250 mx\r\n250 ok\r\n250 ok\r\n354 go\r\n250 queued\r\n250 ok\r\n"),
    ]
    assert told(watch(turns)) == [
        "HELO 250",
        "MAIL 250",
        "RCPT 250",
        "mail a@x > b@y 6",
        "DATA 250",
        "NOOP 250",
    ]


def test_the_time_that_the_server_waits_is_not_the_commands() -> None:
    times = itertools.count()
    observer = SMTPObserver(lockstep=True, clock=lambda: float(next(times)))
    events: list[Event] = []
    for side, data in dialogue(
        """
        S: 220 hi
        C: AUTH LOGIN
        S: 334 VXNlciBOYW1lAA==
        C: YWxpY2U=
        S: 334 UGFzc3dvcmQA
        C: c2VjcmV0
        S: 235 ok
        """
    ):
        events += observer.client_sent(data) if side == "C" else observer.server_sent(data)
    # Three stretches of one tick each, in which the server had something to do.
    assert [event.duration for event in events if isinstance(event, Command)] == [3.0]


def test_lmtp_has_a_reply_for_each_recipient() -> None:
    events = watch(
        dialogue(
            """
            S: 220 lmtp
            C: LHLO c
            S: 250 mx
            C: MAIL FROM:<a@x>
            S: 250 ok
            C: RCPT TO:<b@y>
            S: 250 ok
            C: RCPT TO:<c@y>
            S: 250 ok
            C: RCPT TO:<d@y>
            S: 250 ok
            C: DATA
            S: 354 go
            C: x
            C: .
            S: 250 2.0.0 b saved
            S: 452 4.2.2 c full
            S: 250 2.0.0 d saved
            C: QUIT
            S: 221 bye
            """
        ),
        lmtp=True,
        lockstep=True,
    )
    assert told(events)[5:] == [
        "mail a@x > b@y 3",
        "refused . c@y 452",
        "mail a@x > d@y 3",
        "DATA 250",
        "QUIT 221",
    ]
    assert {event.reception_protocol for event in events if isinstance(event, MailReception)} == {"LMTP"}


def test_an_lmtp_server_that_answers_once_means_all_recipients() -> None:
    turns = dialogue(
        """
        S: 220 lmtp
        C: LHLO c
        S: 250 mx
        C: MAIL FROM:<a@x>
        S: 250 ok
        C: RCPT TO:<b@y>
        S: 250 ok
        C: RCPT TO:<c@y>
        S: 250 ok
        C: DATA
        S: 354 go
        C: x
        C: .
        S: 250 ok
        C: NOOP
        S: 250 ok
        """
    )
    assert told(watch(turns, lmtp=True, lockstep=True))[4:] == [
        "mail a@x > b@y 3",
        "mail a@x > c@y 3",
        "DATA 250",
        "NOOP 250",
    ]


def test_bdat_chunks_make_one_message() -> None:
    turns: list[Turn] = [
        ("S", b"220 hi\r\n"),
        ("C", b"EHLO c\r\n"),
        ("S", b"250-mx\r\n250 CHUNKING\r\n"),
        ("C", b"MAIL FROM:<a@x>\r\n"),
        ("S", b"250 ok\r\n"),
        ("C", b"RCPT TO:<b@y>\r\n"),
        ("S", b"250 ok\r\n"),
        ("C", b"BDAT 10\r\nQUIT\r\nNOOP"),
        ("S", b"250 got 10\r\n"),
        ("C", b"BDAT 2 LAST\r\n\r\n"),
        ("S", b"250 2.0.0 queued\r\n"),
        ("C", b"QUIT\r\n"),
        ("S", b"221 bye\r\n"),
    ]
    for lockstep in (True, False):
        assert told(watch(turns, lockstep=lockstep))[3:] == [
            "BDAT 250",
            "mail a@x > b@y 12",
            "BDAT 250",
            "QUIT 221",
        ]


def test_a_server_without_bdat_takes_its_octets_for_commands() -> None:
    turns: list[Turn] = [
        ("S", b"220 hi\r\n"),
        ("C", b"BDAT 8 LAST\r\n"),
        ("S", b"500 what\r\n"),
        ("C", b"secret\r\n"),
        ("S", b"500 what\r\n"),
    ]
    assert told(watch(turns, lockstep=True)) == ["refused BDAT None 500", "BDAT 500", "_OTHER 500"]


def test_starttls_forgets_the_dialogue() -> None:
    events = watch(
        dialogue(
            """
            S: 220 hi
            C: EHLO before.example
            S: 250 mx
            C: MAIL FROM:<a@x>
            S: 250 ok
            C: STARTTLS
            S: 220 go
            C: RCPT TO:<b@y>
            S: 503 first MAIL
            """
        ),
        lockstep=True,
    )
    (refused,) = [event for event in events if isinstance(event, MailRejection)]
    assert refused.sender is None
    assert refused.peer_hostname is None


def test_an_authenticator_that_sends_no_reply_fails_the_login() -> None:
    turns = dialogue(
        """
        S: 220 hi
        C: AUTH PLAIN AGFsaWNlAHdyb25n
        C: NOOP
        S: 250 ok
        """
    )
    assert told(watch(turns, lockstep=True)) == ["- PLAIN alice _OTHER", "AUTH None", "NOOP 250"]


def test_a_mechanism_that_reads_without_asking_is_one_command() -> None:
    turns = dialogue(
        """
        S: 220 hi
        C: AUTH X-OWN
        C: c2VjcmV0
        S: 235 ok
        """
    )
    assert told(watch(turns, lockstep=True, who=lambda: "carol")) == ["+ _OTHER carol", "AUTH 235"]


def test_a_cancelled_login_is_cancelled() -> None:
    turns = dialogue("S: 220 hi\nC: AUTH PLAIN\nS: 334 \nC: *\nS: 501 5.7.0 aborted")
    assert told(watch(turns)) == ["- PLAIN None cancelled", "AUTH 501"]


def test_what_was_left_open_is_told_at_the_end() -> None:
    observer = SMTPObserver(lockstep=True)
    for side, data in dialogue(
        "S: 220 hi\nC: MAIL FROM:<a@x>\nS: 250 ok\nC: RCPT TO:<b@y>\nS: 250 ok\nC: DATA\nS: 354 go\nC: half"
    ):
        (observer.client_sent if side == "C" else observer.server_sent)(data)
    assert observer.unfinished
    assert told(list(observer.finish())) == ["DATA None"]


def test_a_refused_greeting_is_a_rejection() -> None:
    assert told(watch([("S", b"554 5.7.1 go away\r\n")])) == ["refused None None 554"]


def test_in_lockstep_what_is_taken_before_the_greeting_is_a_proxy_header() -> None:
    turns = [("C", b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n"), *dialogue("S: 220 hi\nC: NOOP\nS: 250 ok")]
    assert told(watch(turns, lockstep=True)) == ["NOOP 250"]


@pytest.mark.parametrize(
    ("argument", "address"),
    [
        (b"FROM:<a@x.org>", "a@x.org"),
        (b"from: <a@x.org> SIZE=3", "a@x.org"),
        (b"FROM:a@x.org", "a@x.org"),
        (b"FROM:<>", ""),
        (b'FROM:<"a>b c"@x.org>', '"a>b c"@x.org'),
        (b"FROM:<a@x.org", "a@x.org"),
        (b"FROM:<a@x.org SIZE=3", "a@x.org"),
        (b"SOMETHING", None),
    ],
)
def test_the_address_of_a_path_is_found(argument: bytes, address: str | None) -> None:
    assert path(argument) == address


@given(
    st.lists(st.tuples(st.sampled_from("CS"), st.binary(max_size=80)), max_size=40), st.booleans(), st.booleans()
)
@settings(max_examples=400)
def test_any_bytes_at_all_raise_nothing(turns: list[Turn], lockstep: bool, lmtp: bool) -> None:
    watch(turns, lockstep=lockstep, lmtp=lmtp)


WORDS = [
    b"220 hi\r\n",
    b"250 ok\r\n",
    b"354 go\r\n",
    b"334 \r\n",
    b"235 2.7.0 ok\r\n",
    b"550 5.1.1 no\r\n",
    b"421 4.7.0 bye\r\n",
    b"250-x\r\n",
    b"nonsense\r\n",
    b"EHLO x\r\n",
    b"MAIL FROM:<a@x>\r\n",
    b"RCPT TO:<b@y>\r\n",
    b"DATA\r\n",
    b".\r\n",
    b"BDAT 4 LAST\r\n",
    b"AUTH LOGIN\r\n",
    b"*\r\n",
    b"STARTTLS\r\n",
    b"RSET\r\n",
    b"QUIT\r\n",
    b"\r\n",
]


@given(
    st.lists(st.tuples(st.sampled_from("CS"), st.sampled_from(WORDS)), max_size=60), st.booleans(), st.booleans()
)
@settings(max_examples=600)
def test_any_order_of_words_raises_nothing_and_answers_each_command_once(
    turns: list[Turn], lockstep: bool, lmtp: bool
) -> None:
    sequences = [e.sequence for e in watch(turns, lockstep=lockstep, lmtp=lmtp) if isinstance(e, Command)]
    assert sequences == sorted(set(sequences))


@given(st.lists(st.sampled_from([b"x", b".", b"\r\n", b"\n", b"..", b"\r"]), max_size=40), st.integers(1, 5))
def test_the_size_is_that_of_the_content_in_any_chunking(parts: list[bytes], size: int) -> None:
    lines = b"".join(parts).replace(b"\r\n.\r\n", b"\r\n").split(b"\r\n")
    plain = b"\r\n".join(lines) + b"\r\n"
    stuffed = b"\r\n".join(b"." + line if line.startswith(b".") else line for line in lines) + b"\r\n"
    wire = stuffed + b".\r\n" + b"QUIT\r\n"
    content, taken = Content(), 0
    for start in range(0, len(wire), size):
        end = content.feed(wire[start : start + size])
        if end is not None:
            taken = start + end
            break
    assert content.ended
    assert wire[taken:] == b"QUIT\r\n"
    assert content.size == len(plain)


@pytest.mark.parametrize("lockstep", [True, False])
@pytest.mark.parametrize(
    "flood",
    [b"x" * 1000, b"NOOP\r\n", b"RCPT TO:<" + b"y" * 400 + b"@z>\r\n", b"AUTH PLAIN\r\n", b"DATA\r\n"],
    ids=["endless line", "noops", "recipients", "auths", "datas"],
)
@pytest.mark.parametrize("reply", [None, b"250 ok\r\n"], ids=["silent", "answering"])
def test_a_flood_does_not_fill_the_memory(lockstep: bool, flood: bytes, reply: bytes | None) -> None:
    observer = SMTPObserver(lockstep=lockstep)
    observer.server_sent(b"220 hi\r\n")
    observer.client_sent(b"MAIL FROM:<a@x>\r\n")
    observer.server_sent(b"250 ok\r\n")
    tracemalloc.start()
    try:
        for _ in range(5000):
            observer.client_sent(flood)
            if reply is not None:
                observer.server_sent(reply)
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    # 1000 recipients of at most 512 characters, 1000 pending commands, and what may wait to be read.
    assert held < 1000 * 700 + 1000 * 1000 + HELD_LIMIT
