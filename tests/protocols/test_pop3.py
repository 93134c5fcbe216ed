"""The POP3 observer on dialogues: (side, bytes) turns in, events out."""

from __future__ import annotations

import base64
import dataclasses
import itertools
import random
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sessionspan.events import AuthFailure, AuthSuccess, Command, Event
from sessionspan.protocols.dialogue import OTHER, PENDING
from sessionspan.protocols.lines import HELD_LIMIT
from sessionspan.protocols.maildrop import DELETED
from sessionspan.protocols.maildrop import LISTED as LISTED_BYTES
from sessionspan.protocols.pop3 import RESPONSE_CODES, VERBS, POP3Observer, parse, reply
from tests.canary import found_in
from tests.protocols.dialogues import Turn, dialogue, tell_of_store


def feed(observer: POP3Observer, turns: list[Turn]) -> list[Event]:
    events: list[Event] = []
    for side, data in turns:
        events += observer.client_sent(data) if side == "C" else observer.server_sent(data)
    return events


def watch(turns: list[Turn], **options: object) -> list[Event]:
    """The events of a dialogue, with a clock that stands still."""
    observer = POP3Observer(clock=lambda: 0.0, **options)  # type: ignore[arg-type]
    return [*feed(observer, turns), *observer.finish()]


def told(events: list[Event]) -> list[str]:
    return [_tell(event) for event in events]


def _tell(event: Event) -> str:
    match event:
        case Command():
            code = f" [{event.reply_response_code}]" if event.reply_response_code else ""
            return f"{event.command} {event.reply_status}{code}"
        case AuthSuccess():
            return f"+ {event.mechanism} {event.identity}"
        case AuthFailure():
            return f"- {event.mechanism} {event.user_name} {event.error_type}"
    store = tell_of_store(event)
    assert store is not None
    return store


def tell(text: str, *, lockstep: bool = False) -> list[str]:
    return told(watch(dialogue("S: +OK ready\n" + text), lockstep=lockstep))


def texts(text: str) -> list[str | None]:
    """All text that a dialogue leaves in its commands."""
    commands = [event for event in watch(dialogue("S: +OK ready\n" + text)) if isinstance(event, Command)]
    return [found for c in commands for found in (c.text, c.envelope_text, c.reply_text) if found is not None]


SESSION = dialogue(
    """
    S: +OK POP3 ready <1896.697170952@pop.example>
    C: CAPA
    S: +OK what I can
    S: USER
    S: SASL PLAIN LOGIN
    S: .
    C: USER bob
    S: +OK
    C: PASS wrong
    S: -ERR [AUTH] no
    C: AUTH LOGIN
    S: + VXNlciBOYW1lAA==
    C: YWxpY2U=
    S: + UGFzc3dvcmQA
    C: c2VjcmV0
    S: +OK maildrop has 2 messages
    C: STAT
    S: +OK 2 320
    C: LIST
    S: +OK 2 messages
    S: 1 120
    S: 2 200
    S: .
    C: list 1
    S: +OK 1 120
    C: UIDL
    S: +OK
    S: 1 uid-of-1
    S: 2 uid-of-2
    S: .
    C: RETR 1
    S: +OK 120 octets
    S: Subject: hi
    S: Message-Id:
    S:  <one@mail.example>
    S: To: you
    S:
    S: +OK is not a reply here
    S: -ERR nor is this
    S: ..stuffed
    S: .
    C: TOP 2 0
    S: -ERR no such message
    C: DELE 1
    S: +OK gone
    C: c2VjcmV0
    S: -ERR what is "C2VJCMV0"
    C: QUIT
    S: +OK bye
    """
)
TOLD = [
    "CAPA ok",
    "USER ok",
    "- None bob invalid_credentials",
    "PASS err [AUTH]",
    "+ LOGIN alice",
    "AUTH ok",
    "STAT ok",
    "LIST ok",
    "LIST ok",
    "UIDL ok",
    "open - uid-of-1 111 one@mail.example",
    "RETR ok",
    "TOP err",
    "DELE ok",
    "_OTHER err",
    "delete - uid-of-1 120",
    "QUIT ok",
]


@pytest.mark.parametrize("lockstep", [True, False])
def test_a_whole_session_is_told(lockstep: bool) -> None:
    observer = POP3Observer(lockstep=lockstep)
    assert told(feed(observer, SESSION)) == TOLD
    assert observer.end_reason == "quit"
    assert not observer.unfinished
    assert observer.finish() == ()


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
        ("C", b"USER alice\r\nPASS secret\r\nSTAT\r\nLIST\r\nRETR 1\r\nRETR 9\r\nNOOP\r\n"),
        (
            "S",
            b"+OK\r\n+OK user?\r\n+OK in\r\n+OK 1 3\r\n+OK\r\n1 3\r\n.\r\n+OK\r\nx\r\n.\r\n-ERR none\r\n+OK\r\n",
        ),
        ("C", b"QUIT\r\n"),
        ("S", b"+OK\r\n"),
    ]
    assert told(watch(turns)) == [
        "USER ok",
        "+ None alice",
        "PASS ok",
        "STAT ok",
        "LIST ok",
        "open - - 3 -",
        "RETR ok",
        "RETR err",
        "NOOP ok",
        "QUIT ok",
    ]


# Logins.


def test_a_user_is_told_once_pass_is_accepted_and_not_before() -> None:
    observer = POP3Observer()
    assert told(feed(observer, dialogue("S: +OK\nC: USER alice\nS: +OK"))) == ["USER ok"]
    assert observer.unfinished
    assert told(feed(observer, dialogue("C: PASS x\nS: +OK"))) == ["+ None alice", "PASS ok"]
    assert not observer.unfinished


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        ("-ERR no", "_OTHER"),
        ("-ERR [AUTH] no", "invalid_credentials"),
        ("-err [auth] no", "invalid_credentials"),
        ("-ERR [IN-USE] locked", "temporary"),
        ("-ERR [SYS/TEMP] later", "temporary"),
        ("-ERR [SYS/TEMP/DISK] later", "temporary"),
        ("-ERR [SYS/PERM] never", "disabled"),
        ("-ERR [LOGIN-DELAY] slowly", "rate_limited"),
        ("-ERR [WEATHER] rain", "_OTHER"),
        ("nonsense", "_OTHER"),
    ],
)
def test_a_refused_password_says_why(answer: str, error: str) -> None:
    failure, _ = watch(dialogue(f"S: +OK\nC: USER al\nS: +OK\nC: PASS x\nS: {answer}"))[1:]
    assert failure == AuthFailure(user_name="al", error_type=error)


def test_a_login_that_fails_at_user_is_one_failure() -> None:
    assert tell("C: USER al\nS: -ERR [SYS/TEMP] later\nC: PASS x\nS: -ERR first USER") == [
        "- None al temporary",
        "USER err [SYS/TEMP]",
        "PASS err",
    ]


def test_a_pass_without_a_user_is_a_failure_of_nobody() -> None:
    assert tell("C: PASS x\nS: -ERR first USER") == ["- None None _OTHER", "PASS err"]


def test_apop_shows_its_name_and_no_digest() -> None:
    assert tell("C: APOP al c4c9334bac560ecc979e58001b3e22fb\nS: -ERR [AUTH] no\nC: APOP digest\nS: -ERR") == [
        "- APOP al invalid_credentials",
        "APOP err [AUTH]",
        "- APOP None _OTHER",
        "APOP err",
    ]
    assert tell("C: APOP al c4c9334bac560ecc979e58001b3e22fb\nS: +OK in") == ["+ APOP al", "APOP ok"]


PLAIN = base64.b64encode(b"admin\0alice\0secret").decode()
CRAM = base64.b64encode(b"alice 913a602c7eda7a495b4e6e7334d3890").decode()


@pytest.mark.parametrize("lockstep", [True, False])
@pytest.mark.parametrize(
    ("lines", "login"),
    [
        (f"C: AUTH PLAIN {PLAIN}", "PLAIN admin"),
        (f"C: AUTH PLAIN\nS: + \nC: {PLAIN}", "PLAIN admin"),
        (f"C: AUTH PLAIN\nS: +\nC: {PLAIN}", "PLAIN admin"),
        (f"C: auth cram-md5\nS: + PDE4OTYuNjk3MTcwOTUyQHg+\nC: {CRAM}", "CRAM-MD5 alice"),
        ("C: AUTH EXTERNAL =", "EXTERNAL None"),
        ("C: AUTH X-OWN c2VjcmV0", "_OTHER None"),
    ],
)
def test_a_sasl_login_shows_its_user(lines: str, login: str, lockstep: bool) -> None:
    assert tell(f"{lines}\nS: +OK", lockstep=lockstep) == [f"+ {login}", "AUTH ok"]


def test_whom_the_server_has_accepted_it_knows_best() -> None:
    turns = dialogue(f"S: +OK\nC: AUTH PLAIN {PLAIN}\nS: +OK")
    assert told(watch(turns, who=lambda: "carol"))[0] == "+ PLAIN carol"
    assert told(watch(turns, who=lambda: None))[0] == "+ PLAIN admin"


def test_a_cancelled_login_is_cancelled() -> None:
    assert tell("C: AUTH PLAIN\nS: + \nC: *\nS: -ERR aborted\nC: NOOP\nS: +OK") == [
        "- PLAIN None cancelled",
        "AUTH err",
        "NOOP ok",
    ]


def test_a_bare_auth_asks_for_the_list_and_is_no_login() -> None:
    text = "C: AUTH\nS: +OK\nS: PLAIN\nS: .\nC: AUTH\nS: -ERR which\nC: NOOP\nS: +OK"
    assert tell(text) == tell(text, lockstep=True) == ["AUTH ok", "AUTH err", "NOOP ok"]


def test_a_mechanism_that_reads_without_asking_is_one_command() -> None:
    assert tell("C: AUTH X-OWN\nC: c2VjcmV0\nS: +OK", lockstep=True) == ["+ _OTHER None", "AUTH ok"]


def test_stls_forgets_the_dialogue_and_what_came_too_early() -> None:
    turns = [
        ("S", b"+OK\r\n"),
        ("C", b"USER mallory\r\n"),
        ("S", b"+OK\r\n"),
        ("C", b"STLS\r\nUSER injected\r\n"),
        ("S", b"+OK begin\r\n"),
        ("C", b"PASS x\r\n"),
        ("S", b"+OK\r\n"),
    ]
    assert told(watch(turns)) == ["USER ok", "STLS ok", "+ None None", "PASS ok"]
    assert tell("C: STLS\nS: -ERR no\nC: NOOP\nS: +OK") == ["STLS err", "NOOP ok"]


# Replies.


@pytest.mark.parametrize(
    "line", [b"+OK", b"+ok text", b"+OK [SYS/TEMP] x", b"-ERR", b"-ERR [X", b"+ ", b"+", b"*"]
)
def test_a_reply_has_a_status_of_the_closed_set(line: bytes) -> None:
    found = reply(line)
    assert found.status == {b"+OK": "ok", b"-ER": "err"}.get(line[:3].upper(), "none")
    assert found.response_code in (None, *RESPONSE_CODES)
    assert found.asks == (line in (b"+", b"+ "))


def test_a_lock_step_server_that_never_ends_its_list_loses_nothing_else() -> None:
    assert tell("C: LIST\nS: +OK none\nC: NOOP\nS: +OK", lockstep=True) == ["LIST ok", "NOOP ok"]


def test_a_command_that_gets_no_reply_in_lock_step_has_none() -> None:
    assert tell("C: NOOP\nC: PASS x\nC: STAT\nS: +OK 0 0", lockstep=True) == [
        "NOOP none",
        "- None None _OTHER",
        "PASS none",
        "STAT ok",
    ]


def test_a_reply_that_nobody_asked_for_is_left_out() -> None:
    assert tell("S: -ERR idle for too long") == []
    assert tell("S: +OK\nC: NOOP\nS: +OK") == ["NOOP ok"]


def test_the_time_that_the_server_waits_is_not_the_commands() -> None:
    times = itertools.count()
    observer = POP3Observer(lockstep=True, clock=lambda: float(next(times)))
    events = feed(
        observer,
        dialogue(
            """
            S: +OK
            C: AUTH LOGIN
            S: + VXNlciBOYW1lAA==
            C: YWxpY2U=
            S: + UGFzc3dvcmQA
            C: c2VjcmV0
            S: +OK
            C: RETR 1
            S: +OK
            S: text
            S: .
            """
        ),
    )
    # Three stretches of one tick each, in which the server had something to do; then one.
    assert [event.duration for event in events if isinstance(event, Command)] == [3.0, 1.0]


# The end.


def test_quit_is_the_end_even_when_not_all_was_deleted() -> None:
    observer = POP3Observer()
    feed(observer, dialogue("S: +OK\nC: DELE 1\nS: +OK\nC: QUIT\nS: -ERR some deleted messages not removed"))
    assert observer.end_reason == "quit"
    assert not observer.unfinished


def test_deletions_without_a_quit_are_left_unfinished() -> None:
    observer = POP3Observer()
    feed(observer, dialogue("S: +OK\nC: DELE 1\nS: -ERR none"))
    assert not observer.unfinished
    feed(observer, dialogue("C: DELE 2\nS: +OK"))
    assert observer.unfinished
    feed(observer, dialogue("C: RSET\nS: +OK"))
    assert not observer.unfinished


def test_what_was_left_open_is_told_at_the_end() -> None:
    observer = POP3Observer()
    feed(observer, dialogue("S: +OK\nC: USER al\nS: +OK\nC: PASS x\nC: RETR 1"))
    assert observer.unfinished
    assert told(list(observer.finish())) == ["- None al _OTHER", "PASS none", "RETR none"]


def test_a_message_that_breaks_off_has_the_status_and_no_end() -> None:
    observer = POP3Observer()
    feed(observer, dialogue("S: +OK\nC: RETR 1\nS: +OK\nS: half"))
    assert told(list(observer.finish())) == ["open - - None -", "RETR ok"]


# Messages.


def of_store(text: str) -> list[str]:
    """What a dialogue says of messages."""
    events = watch(dialogue("S: +OK ready\n" + text))
    return [line for line in map(tell_of_store, events) if line is not None]


LISTED = "C: UIDL\nS: +OK\nS: 1 a\nS: 2 b\nS: .\nC: LIST\nS: +OK\nS: 1 10\nS: 2 20\nS: .\n"
MARKED = LISTED + "C: DELE 2\nS: +OK\nC: DELE 1\nS: +OK\n"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (MARKED, []),
        (MARKED + "C: QUIT\nS: +OK", ["delete - b 20", "delete - a 10"]),
        (MARKED + "C: quit\nS: +OK bye", ["delete - b 20", "delete - a 10"]),
        (MARKED + "C: QUIT", []),
        (MARKED + "C: QUIT\nS: nonsense", []),
        (MARKED + "C: QUIT\nS: -ERR some deleted messages not removed", []),
        (MARKED + "C: RSET\nS: +OK\nC: QUIT\nS: +OK", []),
        (MARKED + "C: RSET\nS: -ERR\nC: DELE 9\nS: -ERR\nC: QUIT\nS: +OK", ["delete - b 20", "delete - a 10"]),
        (MARKED + "C: DELE 2\nS: +OK\nC: QUIT\nS: +OK", ["delete - b 20", "delete - a 10"]),
        ("C: DELE 1\nS: +OK\nC: QUIT\nS: +OK", ["delete - - None"]),
    ],
)
def test_what_was_marked_is_deleted_at_the_quit_and_not_before(text: str, expected: list[str]) -> None:
    assert of_store(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("C: RETR 1\nS: +OK\nS: x\nS: .", ["open - - 3 -"]),
        ("C: RETR 1\nS: -ERR", []),
        ("C: RETR 1", []),
        (LISTED + "C: RETR 2\nS: +OK", ["open - b 20 -"]),
        ("C: UIDL 2\nS: +OK 2 b\nC: LIST 2\nS: +OK 2 20\nC: TOP 2 1\nS: +OK\nS: x\nS: .", ["open - b 20 -"]),
        ("C: TOP 2 0\nS: +OK\nS: Message-ID: <a@b>\nS: .", []),
        (LISTED + "C: TOP 1 5\nS: +OK\nS: message-ID: <a@b>\nS: .", ["open - a 10 a@b"]),
        ("C: RETR 1\nS: +OK\nS: Subject: x\nS:\nS: Message-ID: <body@b>\nS: .", ["open - - 36 -"]),
        ("C: RETR hunter2\nS: +OK\nS: x\nS: .", []),
    ],
)
def test_a_message_is_opened_when_its_body_is_sent(text: str, expected: list[str]) -> None:
    assert of_store(text) == expected


def test_of_an_endless_maildrop_the_first_messages_are_remembered() -> None:
    observer = POP3Observer()
    observer.server_sent(b"+OK\r\n")
    observer.client_sent(b"UIDL\r\nLIST\r\n")
    tracemalloc.start()
    try:
        for verb in (b"uid", b"7"):
            observer.server_sent(b"+OK\r\n")
            for number in range(1, 20_001):
                observer.server_sent(b"%d %b%d\r\n" % (number, verb, number))
            observer.server_sent(b".\r\n")
        for number in range(1, 20_001):
            observer.client_sent(b"DELE %d\r\n" % number)
            observer.server_sent(b"+OK\r\n")
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held < 3 * LISTED_BYTES + 8 * DELETED
    observer.client_sent(b"QUIT\r\n")
    *deleted, quit = observer.server_sent(b"+OK\r\n")
    assert len(deleted) == DELETED
    assert told([deleted[0], deleted[-1], quit]) == ["delete - uid1 71", "delete - - None", "QUIT ok"]


# What is kept.


def test_numbers_are_shown_and_nothing_that_is_none() -> None:
    assert texts("C: RETR 1\nS: -ERR one\nC: TOP 2  10\nS: -ERR two") == ["1", "one", "2  10", "two"]
    assert texts("C: RETR hunter2\nS: -ERR no message hunter2\nC: NOOP hunter2\nS: -ERR hunter2") == []


def test_of_a_login_the_name_is_shown() -> None:
    assert texts(f"C: USER al\nS: +OK al\nC: PASS x\nS: -ERR x\nC: AUTH PLAIN {PLAIN}\nS: -ERR x") == ["al"]
    assert texts("C: USER a\tb\nS: +OK") == []


CANARY = b"Can4ry-s3cret"
SECRET = base64.b64encode(CANARY)


@pytest.mark.parametrize("lockstep", [True, False])
@given(
    st.lists(
        st.sampled_from(
            [
                ("C", b"PASS " + CANARY + b"\r\n"),
                ("C", b"pass\t" + CANARY + b"\r\n"),
                ("C", CANARY + b"\r\n"),
                ("C", SECRET + b"\r\n"),
                ("C", b"APOP " + CANARY + b"\r\n"),
                ("C", b"APOP alice " + CANARY + b"\r\n"),
                ("C", b"AUTH PLAIN\r\n"),  # not LOGIN, whose first answer is the name, whatever it is
                ("C", b"AUTH PLAIN " + base64.b64encode(b"\0alice\0" + CANARY) + b"\r\n"),
                ("C", b"AUTH " + CANARY + b"\r\n"),
                ("C", b"YWxpY2U=\r\n"),
                ("C", b"RETR " + CANARY + b"\r\n"),
                ("C", b"QUIT " + CANARY + b"\r\n"),
                ("C", b"LANG " + CANARY + b"\r\n"),
                ("C", b"USER alice\r\n"),
                ("S", b"+ " + SECRET + b"\r\n"),
                ("S", b"+ UGFzc3dvcmQA\r\n"),
                ("S", b"-ERR\r\n"),
                ("S", b"+OK\r\n"),
                ("S", b".\r\n"),
            ]
        ),
        max_size=40,
    )
)
@settings(max_examples=300)
def test_no_credential_is_in_any_event(lockstep: bool, turns: list[Turn]) -> None:
    events = watch([("S", b"+OK\r\n"), *turns], lockstep=lockstep)
    kept = "\n".join(repr(dataclasses.asdict(event)) for event in events)
    assert not found_in(kept.encode(), [CANARY])


def test_a_verb_outside_the_set_is_other_and_has_no_argument() -> None:
    assert parse(b"XTND " + CANARY) == (OTHER, b"")
    assert parse(b"") == (OTHER, b"")
    assert parse(b"  retr \t 1 ") == ("RETR", b"1")
    assert OTHER not in VERBS


# Anything at all.


@given(st.lists(st.tuples(st.sampled_from("CS"), st.binary(max_size=80)), max_size=40), st.booleans())
@settings(max_examples=400)
def test_any_bytes_at_all_raise_nothing(turns: list[Turn], lockstep: bool) -> None:
    watch(turns, lockstep=lockstep)


WORDS = [
    b"+OK hi\r\n",
    b"-ERR no\r\n",
    b"-ERR [AUTH] no\r\n",
    b"+ \r\n",
    b".\r\n",
    b"nonsense\r\n",
    b"USER x\r\n",
    b"PASS x\r\n",
    b"APOP x y\r\n",
    b"AUTH\r\n",
    b"AUTH LOGIN\r\n",
    b"AUTH PLAIN =\r\n",
    b"*\r\n",
    b"STLS\r\n",
    b"CAPA\r\n",
    b"LIST\r\n",
    b"LIST 1\r\n",
    b"RETR 1\r\n",
    b"DELE 1\r\n",
    b"RSET\r\n",
    b"QUIT\r\n",
    b"\r\n",
]


@given(st.lists(st.tuples(st.sampled_from("CS"), st.sampled_from(WORDS)), max_size=60), st.booleans())
@settings(max_examples=600)
def test_any_order_of_words_raises_nothing_and_answers_each_command_once(
    turns: list[Turn], lockstep: bool
) -> None:
    events = watch(turns, lockstep=lockstep)
    sequences = [event.sequence for event in events if isinstance(event, Command)]
    assert sequences == list(range(1, len(sequences) + 1))


@pytest.mark.parametrize("lockstep", [True, False])
@pytest.mark.parametrize(
    "flood",
    [b"x" * 1000, b"NOOP\r\n", b"USER " + b"y" * 900 + b"\r\n", b"AUTH PLAIN\r\n", b"RETR 1\r\n"],
    ids=["endless line", "noops", "users", "auths", "retrs"],
)
@pytest.mark.parametrize("answer", [None, b"+OK\r\n", b"+OK " + b"z" * 1000], ids=["silent", "ok", "endless"])
def test_a_flood_does_not_fill_the_memory(lockstep: bool, flood: bytes, answer: bytes | None) -> None:
    observer = POP3Observer(lockstep=lockstep)
    observer.server_sent(b"+OK\r\n")
    tracemalloc.start()
    try:
        for _ in range(5000):
            observer.client_sent(flood)
            if answer is not None:
                observer.server_sent(answer)
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    # Pending commands, each with a name of at most 255 characters, and what may wait to be read, of each side.
    assert held < PENDING * 1000 + 2 * HELD_LIMIT
