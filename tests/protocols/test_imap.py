"""The IMAP observer on dialogues: (side, bytes) turns in, events out."""

from __future__ import annotations

import base64
import itertools
import random
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sessionspan.events import AuthEnd, AuthFailure, AuthSuccess, Command, Event, IdleEnd, IdleStart
from sessionspan.protocols.dialogue import PENDING
from sessionspan.protocols.imap import IMAPObserver
from sessionspan.protocols.imap.login import Login
from sessionspan.protocols.imap.replies import parse
from sessionspan.protocols.imap.segments import Literal, Segments
from sessionspan.protocols.lines import HELD_LIMIT, LINE_LIMIT
from sessionspan.protocols.message_id import WINDOW
from tests.protocols.dialogues import tell_of_store

Turn = tuple[str, bytes]
SECRET = b"CanaryPassw0rd-7f3a/?=x"


def b64(text: bytes) -> bytes:
    return base64.b64encode(text)


def watch(turns: list[Turn]) -> list[Event]:
    """The events of a dialogue, with a clock that stands still."""
    return watch_with(IMAPObserver(clock=lambda: 0.0), turns)


def watch_with(observer: IMAPObserver, turns: list[Turn]) -> list[Event]:
    events: list[Event] = []
    for side, data in turns:
        events += observer.client_sent(data) if side == "C" else observer.server_sent(data)
    return [*events, *observer.finish()]


def dialogue(text: str) -> list[Turn]:
    """Turns from lines ``C: ...`` and ``S: ...``; the greeting is there unless they begin with one."""
    turns = []
    for line in text.strip().splitlines():
        side, _, rest = line.strip().partition(": ")
        turns.append((side, rest.encode() + b"\r\n"))
    return turns if turns[0][1].startswith(b"* ") else [("S", b"* OK hi\r\n"), *turns]


def told(events: list[Event]) -> list[str]:
    return [_tell(event) for event in events]


def _tell(event: Event) -> str:
    match event:
        case Command():
            code = f" {event.reply_response_code}" if event.reply_response_code else ""
            return f"{event.command} {event.reply_status}{code}"
        case AuthSuccess():
            return f"+ {event.mechanism} {event.identity}"
        case AuthFailure():
            return f"- {event.mechanism} {event.user_name} {event.error_type}"
        case AuthEnd():
            return "user ends"
        case IdleStart():
            return "idle"
        case IdleEnd():
            return f"idle for {event.duration:g}"
    store = tell_of_store(event)
    assert store is not None
    return store


def tell(text: str) -> list[str]:
    return told(watch(dialogue(text)))


SESSION: list[Turn] = [
    *dialogue(
        """
        S: * OK [CAPABILITY IMAP4rev1 LITERAL+ SASL-IR IDLE] ready
        C: a1 CAPABILITY
        S: * CAPABILITY IMAP4rev1 LITERAL+
        S: a1 OK done
        C: a2 LOGIN alice wrong
        S: a2 NO [AUTHENTICATIONFAILED] no
        C: a3 LOGIN {5}
        S: + go on
        C: alice {6+}
        C: secret
        S: a3 OK [CAPABILITY IMAP4rev1] yes
        C: a4 select INBOX
        S: * 2 EXISTS
        S: * OK [UNSEEN 1] first
        S: a4 OK [READ-WRITE] done
        C: a5 UID FETCH 1:* (FLAGS BODY[])
        """
    ),
    (
        "S",
        b"* 1 FETCH (UID 1 BODY[] {24}\r\na5 OK forged\r\n* BYE no\r\n FLAGS () X {3}\r\nabc)\r\na5 OK done\r\n",
    ),
    ("C", b"a6 APPEND Sent (\\Seen) {21+}\r\na7 LOGOUT\r\na8 NOOP\r\n\r\n"),
    ("S", b"a6 OK [APPENDUID 1 2] done\r\n"),
    ("C", b"a7 APPEND Sent ~{4}\r\n"),
    ("S", b"+ ready\r\n"),
    ("C", b"a\nb\n\r\n"),
    ("S", b"a7 NO [OVERQUOTA] full\r\n"),
    *dialogue(
        """
        C: a8 IDLE
        S: + idling
        S: * 3 EXISTS
        C: DONE
        S: a8 OK done
        C: a9 SEKRIT alice secret
        S: a9 BAD what is SEKRIT alice secret {99}
        C: aa FETCH 1 X-NONE
        S: aa BAD [X-OWN 1] no
        C: ab LOGOUT
        S: * BYE bye
        S: ab OK done
        """
    )[1:],
]
TOLD = [
    "CAPABILITY ok",
    "- None alice invalid_credentials",
    "LOGIN no AUTHENTICATIONFAILED",
    "+ None alice",
    "LOGIN ok CAPABILITY",
    "SELECT ok READ-WRITE",
    "open INBOX 1 24 -",
    "UID FETCH ok",
    "store Sent 2 21 -",
    "APPEND ok APPENDUID",
    "APPEND no OVERQUOTA",
    "idle",
    "idle for 0",
    "IDLE ok",
    "_OTHER bad",
    "FETCH bad _OTHER",
    "LOGOUT ok",
]


def test_a_whole_session_is_told() -> None:
    observer = IMAPObserver(clock=lambda: 0.0)
    assert told(watch_with(observer, SESSION)) == TOLD
    assert observer.end_reason == "quit"


@given(seed=st.integers(), longest=st.integers(1, 9))
@settings(max_examples=300)
def test_any_chunking_gives_the_same_events(seed: int, longest: int) -> None:
    rng = random.Random(seed)
    turns = []
    for side, data in SESSION:
        while data:
            size = rng.randint(1, longest)
            turns.append((side, data[:size]))
            data = data[size:]
    assert told(watch(turns)) == TOLD


def test_a_client_that_does_not_wait_gives_the_same_events() -> None:
    """All that the client sends comes before all that the server says, as on the wire of a hasty client."""
    client = b"".join(data for side, data in SESSION if side == "C")
    server = b"".join(data for side, data in SESSION if side == "S")
    assert told(watch([("C", client), ("S", server)])) == TOLD


def test_pipelined_commands_meet_their_replies_by_tag() -> None:
    turns: list[Turn] = [
        ("S", b"* OK hi\r\n"),
        ("C", b"1 NOOP\r\n2 FETCH 1 FLAGS\r\n3 STATUS x (MESSAGES)\r\n"),
        ("S", b"2 NO no\r\n3 OK ok\r\n1 OK ok\r\nnone OK nobody asked\r\n"),
    ]
    events = watch(turns)
    assert told(events) == ["FETCH no", "STATUS ok", "NOOP ok"]
    assert [event.sequence for event in events if isinstance(event, Command)] == [2, 3, 1]


# Literals.


@pytest.mark.parametrize(
    ("line", "literal"),
    [
        (b"a APPEND x {5}", Literal(5, True)),
        (b"a APPEND x {5+}", Literal(5, False)),
        (b"a APPEND x {5-}", Literal(5, False)),
        (b"a APPEND x ~{0}", Literal(0, True)),
        (b"a APPEND x {9999999999999999}", None),
        (b"a APPEND x {-1}", None),
        (b"a APPEND x {}", None),
        (b"a APPEND x {5} ", None),
        (b'a APPEND "x {5}"', None),
        (b"y" * (LINE_LIMIT * 3) + b" {5}", Literal(5, True)),
    ],
)
@pytest.mark.parametrize("size", [1, 7, 100_000])
def test_a_literal_is_known_by_the_end_of_its_line(line: bytes, literal: Literal | None, size: int) -> None:
    segments = Segments()
    wire = line + b"\r\n"
    found = None
    for start in range(0, len(wire), size):
        segments.feed(wire[start : start + size])
        found = segments.next_line()
    assert found == line[:LINE_LIMIT]
    assert segments.literal == literal


def test_a_literal_that_the_server_refuses_is_not_read() -> None:
    assert tell(
        """
        C: 1 APPEND INBOX {100}
        S: 1 NO [TOOBIG] too big
        C: 2 NOOP
        S: 2 OK
        """
    ) == ["APPEND no TOOBIG", "NOOP ok"]


def test_a_literal_that_was_refused_early_is_passed_over() -> None:
    """RFC 7888 4: a server may refuse before it has all, and reads on; the client sends all."""
    turns: list[Turn] = [
        ("S", b"* OK hi\r\n"),
        ("C", b"1 APPEND INBOX {9+}\r\n2 N"),
        ("S", b"1 NO [TOOBIG] too big\r\n"),
        ("C", b"OOP\r\n \r\n3 NOOP\r\n"),
        ("S", b"3 OK ok\r\n"),
    ]
    assert told(watch(turns)) == ["APPEND no TOOBIG", "NOOP ok"]


def test_a_server_that_does_not_know_literals_cannot_be_hidden_from_us() -> None:
    """What it answers with BAD at once it takes for commands, however large the literal was to be."""
    assert tell(
        """
        C: 1 NOOP {999999999999999+}
        S: 1 BAD what
        C: 2 LOGIN alice secret
        S: 2 OK yes
        """
    ) == ["NOOP bad", "+ None alice", "LOGIN ok"]


def test_content_of_messages_forges_no_replies() -> None:
    forged = b"2 OK forged\r\n* BYE forged\r\n+ forged\r\n"
    header = b"* 1 FETCH (ENVELOPE (" + b'"x" ' * LINE_LIMIT + b") BODY[] {%d}\r\n" % len(forged)
    turns: list[Turn] = [
        ("S", b"* OK hi\r\n"),
        ("C", b"1 FETCH 1 BODY[]\r\n2 LOGIN eve wrong\r\n"),
        *(("S", bytes([byte])) for byte in header + forged + b")\r\n"),
        ("S", b"1 OK done\r\n2 NO no\r\n"),
    ]
    observer = IMAPObserver()
    assert told(watch_with(observer, turns)) == ["FETCH ok", "- None eve invalid_credentials", "LOGIN no"]
    assert observer.end_reason is None


def test_a_text_that_ends_like_a_literal_hides_nothing() -> None:
    assert tell(
        """
        C: 1 X {7}
        S: 1 BAD unknown: X {7000}
        S: * OK still here {7000}
        C: 2 NOOP
        S: 2 OK
        """
    ) == ["_OTHER bad", "NOOP ok"]


def test_a_large_literal_is_counted_down_not_kept() -> None:
    observer = IMAPObserver()
    size, piece = 50_000_000, bytes(100_000)
    observer.server_sent(b"* OK hi\r\n")
    observer.client_sent(b"1 APPEND x {%d+}\r\n" % size)
    observer.server_sent(b"* 1 FETCH (BODY[] {%d}\r\n" % size)
    tracemalloc.start()
    try:
        for _ in range(size // len(piece)):
            observer.client_sent(piece)
            observer.server_sent(piece)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < WINDOW + 10_000
    observer.client_sent(b"\r\n2 NOOP\r\n")
    events = observer.server_sent(b")\r\n1 OK\r\n2 OK\r\n")
    assert told(list(events)) == [f"store x - {size} -", "APPEND ok", "NOOP ok"]


# Logins.


@pytest.mark.parametrize(
    ("login", "user"),
    [
        ([b"LOGIN alice secret"], "alice"),
        ([b"login  alice  secret"], "alice"),
        ([b'LOGIN alice "sec ret"'], "alice"),
        ([b'LOGIN "alice b" secret'], "alice b"),
        ([b'LOGIN "al\\"i\\\\ce" "secret"'], 'al"i\\ce'),
        ([b'LOGIN "" "secret"'], None),
        ([b'LOGIN "al\xc3\xa4ice" secret'], "al\xe4ice"),
        ([b"LOGIN al\xffice secret"], "al\\xffice"),
        ([b"LOGIN " + b"a" * 400 + b" secret"], "a" * 255),
        ([b"LOGIN alice {6+}", b"secret"], "alice"),
        ([b'LOGIN "alice" {6+}', b"secret"], "alice"),
        ([b"LOGIN {5+}", b"alice secret"], "alice"),
        ([b"LOGIN {5+}", b"alice {6+}", b"secret"], "alice"),
        ([b"LOGIN {7+}", b"al\r\nice {6+}", b"secret"], None),
        ([b"LOGIN {0+}", b" secret"], None),
        # Alone it may be the password.
        ([b"LOGIN secret"], None),
        ([b'LOGIN "secret"'], None),
        ([b'LOGIN "secret'], None),
        ([b'LOGIN "sec ret'], None),
        ([b"LOGIN {6+}", b"secret"], None),
        ([b"LOGIN {6+}", b"secret "], None),
        ([b"LOGIN"], None),
    ],
)
def test_the_user_of_a_login_is_found_in_each_form(login: list[bytes], user: str | None) -> None:
    turns: list[Turn] = [
        ("S", b"* OK hi\r\n"),
        ("C", b"1 " + b"\r\n".join(login) + b"\r\n"),
        ("S", b"1 OK yes\r\n"),
    ]
    success, command = watch(turns)
    assert isinstance(success, AuthSuccess)
    assert (success.identity, success.user_name) == (user, user)
    assert told([command]) == ["LOGIN ok"]


@given(st.binary(max_size=300), st.lists(st.binary(max_size=20), max_size=5), st.binary(max_size=20))
def test_a_name_of_any_bytes_is_bounded(argument: bytes, pieces: list[bytes], rest: bytes) -> None:
    login = Login(argument)
    for piece in pieces:
        login.literal(piece * 100)
    login.line(rest)
    assert login.user is None or 0 < len(login.user) <= 255


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        ("NO [AUTHENTICATIONFAILED] no", "invalid_credentials"),
        ("NO [authorizationfailed] no", "not_authorized"),
        ("NO [PRIVACYREQUIRED] no", "encryption_required"),
        ("NO [UNAVAILABLE] no", "temporary"),
        ("NO [LIMIT] no", "rate_limited"),
        ("NO [EXPIRED] no", "expired"),
        ("NO [CONTACTADMIN] no", "disabled"),
        ("NO [X-OWN] no", "invalid_credentials"),
        ("NO no", "invalid_credentials"),
        ("NO", "invalid_credentials"),
        ("BAD no", "malformed"),
    ],
)
def test_a_refused_login_says_why(reply: str, error: str) -> None:
    assert tell(f"C: 1 LOGIN alice secret\nS: 1 {reply}")[0] == f"- None alice {error}"


PLAIN = b64(b"\0alice\0secret").decode()
ADMIN = b64(b"alice\0admin\0secret").decode()


@pytest.mark.parametrize(
    ("exchange", "success"),
    [
        (f"C: 1 AUTHENTICATE PLAIN {PLAIN}\nS: 1 OK", "+ PLAIN alice"),
        (f"C: 1 authenticate plain\nS: +\nC: {PLAIN}\nS: 1 OK", "+ PLAIN alice"),
        (f"C: 1 AUTHENTICATE PLAIN\nS: + \nC: {ADMIN}\nS: 1 OK", "+ PLAIN alice"),
        (f"C: 1 AUTHENTICATE PLAIN =\nS: + \nC: {PLAIN}\nS: 1 OK", "+ PLAIN alice"),
        (
            "C: 1 AUTHENTICATE LOGIN\nS: + VXNlciBOYW1lAA==\nC: YWxpY2U=\nS: + UGFzc3dvcmQA\nC: c2VjcmV0\nS: 1 OK",
            "+ LOGIN alice",
        ),
        ("C: 1 AUTHENTICATE LOGIN YWxpY2U=\nS: + UGFzc3dvcmQA\nC: c2VjcmV0\nS: 1 OK", "+ LOGIN alice"),
        ("C: 1 AUTHENTICATE CRAM-MD5\nS: + PDE+\nC: YWxpY2UgYWJjZA==\nS: 1 OK", "+ CRAM-MD5 alice"),
        ("C: 1 AUTHENTICATE X-OWN\nS: + eA==\nC: YWxpY2UgYWJjZA==\nS: + x\nC: y\nS: 1 OK", "+ _OTHER None"),
        ("C: 1 AUTHENTICATE\nS: 1 OK", "+ None None"),
    ],
)
def test_the_user_of_an_exchange_is_found(exchange: str, success: str) -> None:
    assert tell(exchange) == [success, "AUTHENTICATE ok"]


@pytest.mark.parametrize(
    ("exchange", "failure"),
    [
        (f"C: 1 AUTHENTICATE PLAIN {PLAIN}\nS: 1 NO no", "- PLAIN alice invalid_credentials"),
        ("C: 1 AUTHENTICATE PLAIN\nS: + \nC: *\nS: 1 BAD cancelled", "- PLAIN None cancelled"),
        ("C: 1 AUTHENTICATE X-NONE\nS: 1 NO what", "- _OTHER None mechanism_unknown"),
        ("C: 1 AUTHENTICATE CRAM-MD5\nS: 1 BAD what", "- CRAM-MD5 None mechanism_unknown"),
        ("C: 1 AUTHENTICATE PLAIN\nS: 1 NO [PRIVACYREQUIRED] no", "- PLAIN None encryption_required"),
        ("C: 1 AUTHENTICATE PLAIN\nS: + \nC: !!!\nS: 1 BAD not base64", "- PLAIN None malformed"),
    ],
)
def test_an_exchange_that_fails_says_why(exchange: str, failure: str) -> None:
    assert tell(exchange)[0] == failure


def test_a_client_that_goes_while_it_logs_in_has_not_failed_to() -> None:
    assert tell("C: 1 AUTHENTICATE PLAIN\nS: + ") == ["AUTHENTICATE none"]
    assert tell("C: 1 LOGIN alice {6}") == ["LOGIN none"]


def test_a_login_that_the_server_ends_with_bye_has_failed() -> None:
    assert tell("C: 1 LOGIN alice x\nS: * BYE [UNAVAILABLE] later") == [
        "- None alice temporary",
        "LOGIN bye UNAVAILABLE",
    ]


def test_preauth_is_a_login_of_somebody_unknown() -> None:
    assert tell("S: * PREAUTH hello\nC: 1 NOOP\nS: 1 OK") == ["+ None None", "NOOP ok"]


def test_unauthenticate_ends_the_user() -> None:
    assert tell("C: 1 UNAUTHENTICATE\nS: 1 OK\nC: 2 UNAUTHENTICATE\nS: 2 NO no") == [
        "user ends",
        "UNAUTHENTICATE ok",
        "UNAUTHENTICATE no",
    ]


# IDLE.


def test_the_time_in_idle_is_not_the_commands() -> None:
    times = itertools.count()
    observer = IMAPObserver(clock=lambda: float(next(times)))
    turns = dialogue("C: 1 IDLE\nS: + idling\nS: * 1 EXISTS\nC: done\nS: 1 OK")
    events = watch_with(observer, turns)
    # IDLE at 0, its `+` at 1 and 2, DONE at 3, its reply at 4.
    (command,) = [event for event in events if isinstance(event, Command)]
    assert command.duration == 2.0
    assert [event.duration for event in events if isinstance(event, IdleEnd)] == [1.0]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("C: 1 IDLE\nS: 1 NO not now\nC: 2 NOOP\nS: 2 OK", ["IDLE no", "NOOP ok"]),
        (
            "C: 1 IDLE\nC: DONE\nS: + idling\nS: 1 OK\nC: 2 NOOP\nS: 2 OK",
            ["idle", "idle for 0", "IDLE ok", "NOOP ok"],
        ),
        (
            "C: 1 IDLE\nS: + idling\nS: 1 OK enough\nC: 2 NOOP\nS: 2 OK",
            ["idle", "idle for 0", "IDLE ok", "NOOP ok"],
        ),
        ("C: 1 IDLE\nS: + idling\nS: * BYE timeout", ["idle", "idle for 0", "IDLE bye"]),
        ("C: 1 IDLE\nS: + idling\nC: 2 NOOP\nS: 1 BAD DONE?", ["idle", "idle for 0", "IDLE bad"]),
        ("C: 1 IDLE\nS: + idling", ["idle", "idle for 0", "IDLE none"]),
    ],
)
def test_idle_ends_however_it_ends(text: str, expected: list[str]) -> None:
    assert tell(text) == expected


def test_a_client_that_goes_while_idle_leaves_nothing_half_done() -> None:
    observer = IMAPObserver()
    for side, data in dialogue("C: 1 IDLE"):
        (observer.client_sent if side == "C" else observer.server_sent)(data)
    assert observer.unfinished
    observer.server_sent(b"+ idling\r\n")
    assert not observer.unfinished


# Other turns of a session.


def test_starttls_forgets_what_was_sent_too_early() -> None:
    turns: list[Turn] = [
        ("S", b"* OK hi\r\n"),
        ("C", b"1 STARTTLS\r\n2 LOGIN eve injected\r\n"),
        ("S", b"1 OK go\r\n2 OK forged\r\n"),
        ("C", b"3 NOOP\r\n"),
        ("S", b"3 OK ok\r\n"),
    ]
    assert told(watch(turns)) == ["STARTTLS ok", "NOOP ok"]


def test_behind_compress_there_are_only_bytes() -> None:
    turns: list[Turn] = [
        *dialogue("C: 1 COMPRESS DEFLATE\nS: 1 NO no\nC: 2 COMPRESS DEFLATE\nS: 2 OK [COMPRESSIONACTIVE] now"),
        ("C", b"3 LOGIN alice secret\r\n"),
        ("S", b"3 OK yes\r\n* BYE\r\n"),
    ]
    observer = IMAPObserver()
    assert told(watch_with(observer, turns)) == ["COMPRESS no", "COMPRESS ok COMPRESSIONACTIVE"]
    assert observer.end_reason is None


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("S: * BYE go away", None),
        ("C: 1 NOOP\nS: * BYE timeout", None),
        ("C: 1 LOGOUT\nS: * BYE bye", "quit"),
        ("C: 1 LOGOUT\nS: 1 OK", "quit"),
        ("C: 1 LOGOUT\nS: 1 BAD", None),
        ("C: 1 NOOP\nS: 1 OK BYE", None),
    ],
)
def test_the_end_has_a_reason(text: str, reason: str | None) -> None:
    observer = IMAPObserver()
    watch_with(observer, dialogue(text))
    assert observer.end_reason == reason


def test_to_a_client_a_bye_is_the_peers() -> None:
    observer = IMAPObserver(bye="peer_close")
    observer.server_sent(b"* BYE autologout\r\n")
    assert observer.end_reason == "peer_close"


def test_an_untagged_bad_answers_what_is_no_command() -> None:
    assert tell("C: junk\nS: * BAD what\nC: 1 NOOP\nS: * BAD disk on fire\nS: 1 OK") == ["_OTHER bad", "NOOP ok"]
    assert tell("C: 1 LOGIN {5}\nS: * BAD what\nC: 2 NOOP\nS: 2 OK") == [
        "- None None malformed",
        "LOGIN bad",
        "NOOP ok",
    ]


@pytest.mark.parametrize(
    "line",
    [b"secret", b"", b" LOGIN a b", b"1 secret", b"1 UID secret x", b"1 UID", b"1 UIDFETCH 1", b"\0\xff \xfe"],
)
def test_a_command_outside_the_set_is_not_named(line: bytes) -> None:
    assert told(watch([("S", b"* OK\r\n"), ("C", line + b"\r\n")])) == ["_OTHER none"]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (b"1 OK", (b"1", "ok", None)),
        (b"1 ok [READ-ONLY] x", (b"1", "ok", "READ-ONLY")),
        (b"* BYE [ALERT] x", (b"*", "bye", "ALERT")),
        (b"* PREAUTH", (b"*", "preauth", None)),
        (b"1 NO [", (b"1", "no", "_OTHER")),
        (b"1 NO [secret] x", (b"1", "no", "_OTHER")),
        (b"+", (b"+", "none", None)),
        (b"+ x", (b"+", "none", None)),
        (b"* 1 EXISTS", None),
        (b"* OKAY", None),
        (b"1 BYE", None),
        (b"1", None),
        (b"", None),
    ],
)
def test_a_response_is_read(line: bytes, expected: tuple[bytes, str, str | None] | None) -> None:
    reply = parse(line)
    assert (None if reply is None else (reply.tag, reply.status, reply.code)) == expected


# Whatever comes.


@given(st.lists(st.tuples(st.sampled_from("CS"), st.binary(max_size=80)), max_size=40))
@settings(max_examples=400)
def test_any_bytes_at_all_raise_nothing(turns: list[Turn]) -> None:
    watch(turns)


WORDS = [
    b"* OK hi\r\n",
    b"* PREAUTH hi\r\n",
    b"* BYE [UNAVAILABLE] x\r\n",
    b"* BAD what\r\n",
    b"+ \r\n",
    b"+ VXNlciBOYW1lAA==\r\n",
    b"1 OK [READ-WRITE] x\r\n",
    b"2 NO [AUTHENTICATIONFAILED] x\r\n",
    b"3 BAD x {9}\r\n",
    b"* 1 FETCH (BODY[] {12}\r\n",
    b"1 LOGIN a b\r\n",
    b"2 LOGIN {1}\r\n",
    b"1 LOGIN {1+}\r\n",
    b"x",
    b" y\r\n",
    b"1 AUTHENTICATE PLAIN\r\n",
    b"2 AUTHENTICATE PLAIN AGFsaWNlAHdyb25n\r\n",
    b"*\r\n",
    b"1 IDLE\r\n",
    b"DONE\r\n",
    b"3 APPEND x {20}\r\n",
    b"3 APPEND x {20+}\r\n",
    b"2 STARTTLS\r\n",
    b"1 COMPRESS DEFLATE\r\n",
    b"2 LOGOUT\r\n",
    b"3 UNAUTHENTICATE\r\n",
    b"1 NOOP\r\n",
    b"\r\n",
    b"nonsense\r\n",
]


@given(st.lists(st.tuples(st.sampled_from("CS"), st.sampled_from(WORDS)), max_size=60))
@settings(max_examples=1000)
def test_any_order_of_words_raises_nothing_and_answers_each_command_once(turns: list[Turn]) -> None:
    events = watch(turns)
    sequences = [event.sequence for event in events if isinstance(event, Command)]
    assert sorted(sequences) == list(range(1, len(sequences) + 1))
    idles = [type(event) for event in events if isinstance(event, (IdleStart, IdleEnd))]
    assert idles == [IdleStart, IdleEnd] * (len(idles) // 2)


@given(st.lists(st.tuples(st.sampled_from("CS"), st.sampled_from(WORDS)), max_size=40), st.integers(1, 9))
@settings(max_examples=400)
def test_any_order_of_words_gives_the_same_events_in_any_chunking(turns: list[Turn], size: int) -> None:
    chunked = [(side, data[at : at + size]) for side, data in turns for at in range(0, len(data), size)]
    assert told(watch(chunked)) == told(watch(turns))


SECRETS = [
    b"1 LOGIN bob " + SECRET,
    b'1 LOGIN "bob" "' + SECRET + b'"',
    b"1 LOGIN " + SECRET,
    b"1 LOGIN bob {%d}" % len(SECRET),
    b"1 LOGIN {%d+}" % len(SECRET),
    SECRET,
    b64(SECRET),
    b64(b"\0bob\0" + SECRET),
    b"1 AUTHENTICATE PLAIN " + b64(b"\0bob\0" + SECRET),
    b"1 AUTHENTICATE PLAIN",
    b"1 AUTHENTICATE CRAM-MD5",
    b"1 " + SECRET,
    b"*",
    b"1 NOOP",
]
ANSWERS = [b"+ ", b"1 OK " + SECRET, b"1 NO [" + SECRET + b"]", b"* BAD " + SECRET, b"* BYE [" + SECRET + b"]"]


@given(
    st.lists(
        st.tuples(st.just("C"), st.sampled_from(SECRETS)) | st.tuples(st.just("S"), st.sampled_from(ANSWERS)),
        max_size=30,
    )
)
@settings(max_examples=600)
def test_no_secret_is_in_any_event(turns: list[Turn]) -> None:
    events = watch([("S", b"* OK hi\r\n"), *((side, line + b"\r\n") for side, line in turns)])
    assert SECRET.decode() not in repr(events)
    assert b64(SECRET).decode() not in repr(events)


@pytest.mark.parametrize(
    "flood",
    [
        b"x" * 1000,
        b"1 NOOP\r\n",
        b"y" * 500 + b" LOGIN " + b"a" * 400 + b" b\r\n",
        b"1 AUTHENTICATE PLAIN\r\n",
        b"1 APPEND x {1000}\r\n",
        b"1 LOGIN {1000+}\r\n",
        b"1 IDLE\r\n",
        b"1 NOOP {1+}\r\n",
    ],
    ids=["endless line", "noops", "logins", "auths", "literals", "names", "idles", "pieces"],
)
@pytest.mark.parametrize(
    "reply",
    [None, b"1 OK ok\r\n", b"+ \r\n", b"* 1 FETCH (BODY[] {100}\r\n", b"z" * 1000],
    ids=["silent", "answering", "asking", "sending", "endless"],
)
def test_a_flood_does_not_fill_the_memory(flood: bytes, reply: bytes | None) -> None:
    observer = IMAPObserver()
    observer.server_sent(b"* OK hi\r\n")
    tracemalloc.start()
    try:
        for _ in range(5000):
            observer.client_sent(flood)
            if reply is not None:
                observer.server_sent(reply)
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    # 1000 pending commands with a tag and a name, and what may wait to be read.
    assert held < PENDING * 1200 + 2 * HELD_LIMIT


def test_a_login_is_not_hidden_behind_a_flood() -> None:
    turns: list[Turn] = [
        ("S", b"* OK hi\r\n"),
        ("C", b"a LOGIN alice secret\r\n" + b"b NOOP\r\n" * (3 * PENDING)),
        ("S", b"a OK yes\r\n"),
    ]
    events = watch(turns)
    assert [event.identity for event in events if isinstance(event, AuthSuccess)] == ["alice"]
