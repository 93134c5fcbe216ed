"""The FTP observer on dialogues: (side, bytes) turns in, events out."""

from __future__ import annotations

import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sessionspan.events import AuthEnd, AuthFailure, AuthSuccess, Command, Event
from sessionspan.protocols.dialogue import OTHER, PENDING
from sessionspan.protocols.ftp import VERBS, FTPObserver, parse
from tests.protocols.dialogues import Turn, dialogue


def watch(turns: list[Turn], *, lockstep: bool = False) -> list[Event]:
    """The events of a dialogue, with a clock that stands still."""
    observer = FTPObserver(lockstep=lockstep, clock=lambda: 0.0)
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
            return f"+ {event.identity}"
        case AuthFailure():
            return f"- {event.user_name} {event.error_type}"
        case AuthEnd():
            return "end"
    raise AssertionError(event)


def tell(text: str, *, lockstep: bool = False) -> list[str]:
    return told(watch(dialogue("S: 220 ready\n" + text), lockstep=lockstep))


SESSION = dialogue(
    """
    S: 120 in a minute
    S: 220-welcome
    S: 331 is not a reply here
    S: 220 ready
    C: USER bob
    S: 331 password?
    C: PASS wrong
    S: 530 no
    C: user alice
    S: 331 password?
    C: PASS secret
    S: 230-Hello,
    S:  dear
    S: 230 alice
    C: FEAT
    S: 211-Features
    S:  UTF8
    S: 211 End
    C: CWD /in
    S: 250 done
    C: PASV
    S: 227 Entering (127,0,0,1,4,5)
    C: STOR a.txt
    S: 150 go on
    S: 226 thanks
    C: RETR none
    S: 550 no such file
    C: s3cret
    S: 500 "S3CRET" not understood
    C: QUIT
    S: 221 bye
    """
)
TOLD = [
    "USER 331",
    "- bob invalid_credentials",
    "PASS 530",
    "USER 331",
    "+ alice",
    "PASS 230",
    "FEAT 211",
    "CWD 250",
    "PASV 227",
    "STOR 226",
    "RETR 550",
    "_OTHER 500",
    "QUIT 221",
]


@pytest.mark.parametrize("lockstep", [True, False])
def test_a_whole_session_is_told(lockstep: bool) -> None:
    assert told(watch(SESSION, lockstep=lockstep)) == TOLD


@pytest.mark.parametrize("lockstep", [True, False])
@given(data=st.data())
def test_any_chunking_tells_the_same(lockstep: bool, data: st.DataObject) -> None:
    turns = []
    for side, sent in SESSION:
        while sent:
            size = data.draw(st.integers(1, len(sent)))
            turns.append((side, sent[:size]))
            sent = sent[size:]
    assert told(watch(turns, lockstep=lockstep)) == TOLD


def test_pipelined_commands_get_their_replies_in_order() -> None:
    client = b"".join(sent for side, sent in SESSION if side == "C")
    server = b"".join(sent for side, sent in SESSION[4:] if side == "S")
    assert told(watch([*SESSION[:4], ("C", client), ("S", server)])) == TOLD


_WORDS = st.sampled_from([f"{verb} x\r\n".encode() for verb in sorted(VERBS)])
_REPLIES = st.builds(
    lambda code, mark: f"{code}{mark}text\r\n".encode(), st.integers(0, 999), st.sampled_from([" ", "-", "", "x"])
)
_SAID = st.one_of(st.binary(max_size=60), _WORDS, _REPLIES)


@pytest.mark.parametrize("lockstep", [True, False])
@given(turns=st.lists(st.tuples(st.sampled_from("CS"), _SAID), max_size=60))
def test_no_bytes_raise_and_every_command_is_told_once(lockstep: bool, turns: list[Turn]) -> None:
    events = watch(turns, lockstep=lockstep)
    sequences = [event.sequence for event in events if isinstance(event, Command)]
    assert sorted(sequences) == list(range(1, len(sequences) + 1))
    assert {event.command for event in events if isinstance(event, Command)} <= VERBS | {OTHER}


@pytest.mark.parametrize("lockstep", [True, False])
@given(secret=st.binary(min_size=8, max_size=30).map(bytes.hex), reply=_REPLIES)
def test_no_argument_of_a_login_and_no_reply_to_it_is_in_an_event(
    lockstep: bool, secret: str, reply: bytes
) -> None:
    turns: list[Turn] = [("S", b"220 ready\r\n")]
    for verb in (
        "USER bob\r\nPASS",
        "ACCT",
        "ADAT",
        "AUTH",
        "SITE PSWD x",
        "ENC",
        "MIC",
        "CONF",
        "XPASS",
        "PASS\t",
    ):
        turns += [("C", f"{verb} {secret}\r\n".encode()), ("S", reply.replace(b"text", secret.encode()))]
    turns += [("C", f"{secret}\r\n".encode()), ("S", f"500 {secret}?\r\n".encode())]
    assert secret not in repr(watch(turns, lockstep=lockstep)).lower()


# Logins.


def test_a_login_without_a_password_is_a_login() -> None:
    assert tell("C: USER anonymous\nS: 230 come in") == ["+ anonymous", "USER 230"]


def test_an_account_may_end_a_login() -> None:
    assert tell("C: USER a\nS: 331 ?\nC: PASS x\nS: 332 account?\nC: ACCT y\nS: 230 ok") == [
        "USER 331",
        "PASS 332",
        "+ a",
        "ACCT 230",
    ]


def test_a_password_that_is_not_wanted_is_no_login() -> None:
    assert tell("C: PASS x\nS: 202 not needed") == ["PASS 202"]


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        (530, "invalid_credentials"),
        (421, "temporary"),
        (501, "malformed"),
        (503, "malformed"),
        (534, "not_authorized"),
        (550, "encryption_required"),
        (599, "_OTHER"),
    ],
)
def test_a_refused_login_says_why(reply: int, error: str) -> None:
    assert tell(f"C: USER a\nS: {reply} no") == [f"- a {error}", f"USER {reply}"]


def test_a_password_without_an_answer_is_a_failure() -> None:
    assert tell("C: USER a\nS: 331 ?\nC: PASS x") == ["USER 331", "- a _OTHER", "PASS None"]


def test_the_name_of_another_login_is_not_mixed_in() -> None:
    lines = "C: USER a\nS: 331 ?\nC: REIN\nS: 220 ready\nC: PASS x\nS: 503 USER first"
    assert tell(lines) == ["USER 331", "REIN 220", "- None malformed", "PASS 503"]
    lines = "C: USER a\nS: 331 ?\nC: AUTH TLS\nS: 234 go\nC: PASS x\nS: 503 USER first"
    assert tell(lines) == ["USER 331", "AUTH 234", "- None malformed", "PASS 503"]


def test_rein_ends_a_login() -> None:
    lines = "C: USER a\nS: 331 ?\nC: PASS x\nS: 230 in\nC: REIN\nS: 220 ready\nC: REIN\nS: 220 ready"
    assert tell(lines) == ["USER 331", "+ a", "PASS 230", "end", "REIN 220", "REIN 220"]


def test_a_230_to_another_command_is_no_login() -> None:
    assert tell("C: USER a\nS: 331 ?\nC: REIN\nS: 230 Ready for new user") == ["USER 331", "REIN 230"]


def test_a_reply_of_rfc_2228_is_a_login() -> None:
    assert tell("C: USER a\nS: 232 by certificate") == ["+ a", "USER 232"]


# Transfers.


def test_a_command_within_a_transfer_gets_its_own_reply() -> None:
    lines = "C: RETR f\nS: 150 now\nC: NOOP\nS: 200 yes\nC: CWD x\nS: 250 ok\nS: 226 done"
    assert tell(lines) == tell(lines, lockstep=True) == ["NOOP 200", "CWD 250", "RETR 226"]


def test_the_end_of_a_transfer_is_not_taken_for_the_reply_to_another_command() -> None:
    lines = "C: RETR f\nS: 150 now\nC: NOOP\nS: 226 done\nS: 200 yes"
    assert tell(lines) == tell(lines, lockstep=True) == ["RETR 226", "NOOP 200"]


def test_an_aborted_transfer_is_426_and_the_abort_226() -> None:
    lines = "C: RETR f\nS: 150 now\nC: ABOR\nS: 426 aborted\nS: 226 closed"
    assert tell(lines) == tell(lines, lockstep=True) == ["RETR 426", "ABOR 226"]


def test_a_transfer_that_was_aborted_before_it_began_gets_no_reply() -> None:
    lines = "C: RETR f\nS: 150 now\nC: ABOR\nS: 225 nothing to abort"
    assert tell(lines) == tell(lines, lockstep=True) == ["RETR None", "ABOR 225"]


def test_quit_within_a_transfer_lets_it_end() -> None:
    lines = "C: RETR f\nS: 150 now\nC: QUIT\nS: 221 bye\nS: 226 done"
    assert tell(lines) == tell(lines, lockstep=True) == ["QUIT 221", "RETR 226"]


def test_a_timeout_of_the_data_connection_is_the_transfers() -> None:
    lines = "C: STOR f\nS: 150 now\nC: NOOP\nS: 421 stalled\nS: 200 yes"
    assert tell(lines) == tell(lines, lockstep=True) == ["STOR 421", "NOOP 200"]


def test_a_preliminary_reply_is_the_next_transfers() -> None:
    assert tell("C: PORT 1,2\nC: LIST\nS: 150 now\nS: 200 ok\nS: 226 done") == ["PORT 200", "LIST 226"]


def test_one_transfer_at_a_time_is_under_way() -> None:
    observer = FTPObserver(lockstep=True)
    observer.server_sent(b"220 ready\r\n")
    for _ in range(PENDING * 2):
        observer.client_sent(b"RETR x\r\n")
        observer.server_sent(b"150 open the data connection\r\n")
    assert told([*observer.client_sent(b"QUIT\r\n"), *observer.server_sent(b"221 bye\r\n")]) == ["QUIT 221"]


# How it ends.


def test_quit_is_quit_once_it_is_answered() -> None:
    observer = FTPObserver()
    observer.server_sent(b"220 ready\r\n")
    observer.client_sent(b"QUIT\r\n")
    assert (observer.end_reason, observer.unfinished) == (None, True)
    observer.server_sent(b"221 bye\r\n")
    assert (observer.end_reason, observer.unfinished) == ("quit", False)


def test_a_transfer_under_way_is_unfinished() -> None:
    observer = FTPObserver()
    observer.server_sent(b"220 ready\r\n")
    observer.client_sent(b"STOR x\r\n")
    observer.server_sent(b"150 go\r\n")
    assert observer.unfinished
    observer.server_sent(b"226 done\r\n")
    assert not observer.unfinished


def test_a_reply_that_nobody_asked_for_is_nobodys() -> None:
    assert tell("S: 421 idle too long\nC: NOOP\nS: 200 ok") == ["NOOP 200"]


def test_in_lock_step_a_command_after_an_unanswered_one_ends_it() -> None:
    assert tell("C: NOOP\nC: QUIT\nS: 221 bye", lockstep=True) == ["NOOP None", "QUIT 221"]


def test_a_greeting_that_refuses_is_no_reply_to_a_command() -> None:
    assert told(watch([("C", b"USER a\r\n"), ("S", b"421 too many\r\n")])) == ["USER None"]


# Durations, texts, bounds.


def test_a_command_lasts_until_its_final_reply() -> None:
    now = 10.0
    observer = FTPObserver(clock=lambda: now)
    observer.server_sent(b"220 ready\r\n")
    now = 20.0  # the client thinks
    observer.client_sent(b"RETR x\r\n")
    now = 21.0
    observer.server_sent(b"150 now\r\n")
    now = 23.5
    (event,) = observer.server_sent(b"226 done\r\n")
    assert isinstance(event, Command)
    assert (event.duration, event.reply_status) == (3.5, "2xx")


def test_texts_are_given_for_the_gate_to_decide() -> None:
    user, retr = watch(dialogue("S: 220 x\nC: USER bob\nS: 331 ok\nC: RETR a b\nS: 550 no"))
    assert isinstance(user, Command)
    assert isinstance(retr, Command)
    assert (user.text, user.envelope_text, user.reply_text) == (None, "bob", None)
    assert (retr.text, retr.envelope_text, retr.reply_text) == ("a b", None, "no")


@pytest.mark.parametrize(
    ("line", "verb"),
    [
        (b"retr  x", "RETR"),
        (b"\xff\xf4\xff\xf2ABOR", "ABOR"),
        (b"SITE CHMOD 644 x", "SITE"),
        (b"PASS\tx", OTHER),
        (b" NOOP", OTHER),
        (b"", OTHER),
        (b"\xff\xff", OTHER),
    ],
)
def test_a_verb_is_from_the_closed_set(line: bytes, verb: str) -> None:
    assert parse(line)[0] == verb


def test_memory_is_bounded_whatever_the_peers_send() -> None:
    for lockstep in (True, False):
        observer = FTPObserver(lockstep=lockstep)
        tracemalloc.start()
        for _ in range(25):
            observer.client_sent(b"x" * 50_000)
            observer.client_sent(b"NOOP\r\n" * 2_000)
            observer.server_sent(b"220-" + b"y" * 50_000)
            observer.server_sent(b"220-more\r\n" * 2_000)
        held, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert held < 1_000_000
