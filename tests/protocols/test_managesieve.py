"""The ManageSieve observer on dialogues: (side, bytes) turns in, events out."""

from __future__ import annotations

import base64
import itertools
import random
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sessionspan.events import AuthEnd, AuthFailure, AuthSuccess, Command, Event
from sessionspan.protocols.dialogue import PENDING
from sessionspan.protocols.lines import HELD_LIMIT, LINE_LIMIT
from sessionspan.protocols.managesieve import ManageSieveObserver
from sessionspan.protocols.managesieve.replies import CHALLENGE_LIMIT, CODES, Replies, Reply
from sessionspan.protocols.managesieve.strings import SieveSegments, Strings
from tests.protocols.dialogues import Turn
from tests.protocols.dialogues import dialogue as turns_of

SECRET = b"CanaryPassw0rd-7f3a/?=x"
GREETING = b'"IMPLEMENTATION" "Example v1"\r\n"SASL" "PLAIN"\r\n"SIEVE" "fileinto"\r\nOK "ready"\r\n'


def b64(text: bytes) -> bytes:
    return base64.b64encode(text)


def watch(turns: list[Turn]) -> list[Event]:
    """The events of a dialogue, with a clock that stands still."""
    return watch_with(ManageSieveObserver(clock=lambda: 0.0), turns)


def watch_with(observer: ManageSieveObserver, turns: list[Turn]) -> list[Event]:
    events: list[Event] = []
    for side, data in turns:
        events += observer.client_sent(data) if side == "C" else observer.server_sent(data)
    return [*events, *observer.finish()]


def dialogue(text: str) -> list[Turn]:
    """Turns from lines ``C: ...`` and ``S: ...``, behind a greeting."""
    return [("S", GREETING), *turns_of(text)]


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
    raise AssertionError(event)


def tell(text: str) -> list[str]:
    return told(watch(dialogue(text)))


SCRIPT = b'# NO (QUOTA) "forged"\r\nOK\r\nBYE\r\nAUTHENTICATE "PLAIN" "Zm9yZ2Vk"\r\nkeep;'
LITERAL = b"{%d}\r\n%b\r\n" % (len(SCRIPT), SCRIPT)
SESSION: list[Turn] = [
    *dialogue(
        """
        C: CAPABILITY
        S: "SASL" "PLAIN"
        S: "Implementation" "Example v1"
        S: OK
        C: Authenticate "PLAIN" "AGFsaWNlAHdyb25n"
        S: NO "no such user"
        C: PUTSCRIPT "mine" {4+}
        C: keep
        S: NO (ENCRYPT-NEEDED) "log in first"
        C: AUTHENTICATE "LOGIN"
        S: {16}
        S: VXNlciBOYW1lAA==
        C: {8+}
        C: YWxpY2U=
        S: "UGFzc3dvcmQA"
        C: "c2VjcmV0"
        S: OK (SASL "cnNwYXV0aA==") "yes"
        C: HAVESPACE "mine" 9999
        S: NO (QUOTA/MAXSIZE) "too much"
        """
    ),
    ("C", b'PUTSCRIPT "mine" {%d+}\r\n%b\r\n' % (len(SCRIPT), SCRIPT)),
    ("S", b"OK (WARNINGS) {%d}\r\n%b\r\n" % (len(SCRIPT), SCRIPT)),
    ("C", b"checkscript {%d+}\r\n%b\r\n" % (len(SCRIPT), SCRIPT)),
    ("S", b"NO {%d}\r\n%b\r\n" % (len(SCRIPT), SCRIPT)),
    ("C", b'GETSCRIPT "mine"\r\n'),
    ("S", LITERAL + b"OK\r\n"),
    *turns_of(
        """
        C: LISTSCRIPTS
        S: "IMPLEMENTATION"
        S: "OK" ACTIVE
        S: {4}
        S: BYE!
        S: OK
        C: SETACTIVE "mine"
        S: OK
        C: DELETESCRIPT "mine"
        S: NO (ACTIVE) "it is"
        C: RENAMESCRIPT "mine" "yours"
        S: NO (ALREADYEXISTS/X) "it does"
        C: NOOP "STARTTLS-SYNC-42"
        S: OK (TAG {16}
        S: STARTTLS-SYNC-42) "Done"
        C: SEKRIT "alice" "secret"
        S: NO (X-SECRET) "what"
        C: UNAUTHENTICATE
        S: OK
        C: LOGOUT
        S: OK "bye"
        """
    ),
]
TOLD = [
    "CAPABILITY ok",
    "- PLAIN alice invalid_credentials",
    "AUTHENTICATE no",
    "PUTSCRIPT no ENCRYPT-NEEDED",
    "+ LOGIN alice",
    "AUTHENTICATE ok SASL",
    "HAVESPACE no QUOTA/MAXSIZE",
    "PUTSCRIPT ok WARNINGS",
    "CHECKSCRIPT no",
    "GETSCRIPT ok",
    "LISTSCRIPTS ok",
    "SETACTIVE ok",
    "DELETESCRIPT no ACTIVE",
    "RENAMESCRIPT no ALREADYEXISTS",
    "NOOP ok TAG",
    "_OTHER no _OTHER",
    "user ends",
    "UNAUTHENTICATE ok",
    "LOGOUT ok",
]


def test_a_whole_session_is_told() -> None:
    observer = ManageSieveObserver(clock=lambda: 0.0)
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
    assert watch(turns) == watch(SESSION)


def test_a_client_that_does_not_wait_gives_the_same_events() -> None:
    """All that the client sends comes before all that the server says, as on the wire of a hasty client."""
    client = b"".join(data for side, data in SESSION if side == "C")
    server = b"".join(data for side, data in SESSION if side == "S")
    assert told(watch([("C", client), ("S", server)])) == TOLD


def test_pipelined_commands_meet_their_replies_in_order() -> None:
    events = watch(dialogue('C: NOOP\nC: GETSCRIPT "x"\nC: LISTSCRIPTS\nS: OK\nS: NO (NONEXISTENT)\nS: OK\nS: OK'))
    assert told(events) == ["NOOP ok", "GETSCRIPT no NONEXISTENT", "LISTSCRIPTS ok"]
    assert [event.sequence for event in events if isinstance(event, Command)] == [1, 2, 3]


# Literals.


@pytest.mark.parametrize(
    ("line", "size"),
    [
        (b'PUTSCRIPT "x" {5+}', 5),
        (b"{5+}", 5),
        (b"y" * (LINE_LIMIT * 3) + b" {5+}", 5),
        (b"{5-}", None),
        (b"~{5+}", None),
        (b"{9999999999999999+}", None),
        (b"{+}", None),
        (b"{5+} ", None),
    ],
)
def test_a_literal_is_one_of_rfc_5804(line: bytes, size: int | None) -> None:
    segments = SieveSegments()
    wire = line + b"\r\n"
    for start in range(0, len(wire), 1000):
        segments.feed(wire[start : start + 1000])
        segments.next_line()
    literal = segments.literal
    assert (literal.size if literal is not None else None) == size
    assert literal is None or not literal.waits


def test_a_literal_that_waits_is_read_when_the_server_asks_for_it() -> None:
    assert tell('C: PUTSCRIPT "x" {4}\nS: + go on\nC: NOOP\nS: OK\nC: LOGOUT\nS: OK') == [
        "PUTSCRIPT ok",
        "LOGOUT ok",
    ]


def test_a_literal_that_waits_and_is_refused_is_not_read() -> None:
    assert tell('C: PUTSCRIPT "x" {400}\nS: NO "what"\nC: NOOP\nS: OK') == ["PUTSCRIPT no", "NOOP ok"]


def test_a_literal_that_was_refused_early_is_passed_over() -> None:
    turns: list[Turn] = [
        ("S", GREETING),
        ("C", b'PUTSCRIPT "x" {9+}\r\nNO'),
        ("S", b"NO (QUOTA/MAXSIZE)\r\n"),
        ("C", b"OP\r\n...\r\nCAPABILITY\r\n"),
        ("S", b"OK\r\n"),
    ]
    assert told(watch(turns)) == ["PUTSCRIPT no QUOTA/MAXSIZE", "CAPABILITY ok"]


def test_behind_a_refused_literal_there_may_be_more_of_them() -> None:
    assert tell("C: PUTSCRIPT {9+}\nS: NO\nC: ......... {3+}\nC: ... {3}\nC: NOOP\nS: OK") == [
        "PUTSCRIPT no",
        "NOOP ok",
    ]


def test_a_server_that_does_not_know_literals_is_found_out_by_its_second_reply() -> None:
    assert tell(
        """
        C: NOOP {999999999999999+}
        S: NO what
        C: XX
        S: NO what
        C: AUTHENTICATE "PLAIN" "AGFsaWNlAHNlY3JldA=="
        S: OK
        C: NOOP {999999999999999+}
        S: NO what
        C: NOOP
        S: OK
        """
    ) == ["NOOP no", "+ PLAIN alice", "AUTHENTICATE ok", "NOOP no", "NOOP ok"]


def test_scripts_forge_no_replies() -> None:
    turns: list[Turn] = [
        ("S", GREETING),
        ("C", b'GETSCRIPT "x"\r\nAUTHENTICATE "PLAIN" "' + b64(b"\0eve\0wrong") + b'"\r\n'),
        *(("S", bytes([byte])) for byte in LITERAL + b"OK\r\nNO\r\n"),
    ]
    observer = ManageSieveObserver()
    assert told(watch_with(observer, turns)) == [
        "GETSCRIPT ok",
        "- PLAIN eve invalid_credentials",
        "AUTHENTICATE no",
    ]
    assert observer.end_reason is None


@pytest.mark.parametrize("text", ["NO what is X {7000}", "Hello {7000}\nS: NO", 'NO "X {7000}"'])
def test_a_text_that_ends_like_a_literal_hides_nothing(text: str) -> None:
    assert tell(f"C: X {{7}}\nS: {text}\nC: NOOP\nS: OK") == ["_OTHER no", "NOOP ok"]


def test_a_large_literal_is_counted_down_not_kept() -> None:
    observer = ManageSieveObserver()
    size, piece = 50_000_000, bytes(100_000)
    observer.server_sent(GREETING)
    observer.client_sent(b'GETSCRIPT "x"\r\nPUTSCRIPT "x" {%d+}\r\n' % size)
    observer.server_sent(b"{%d}\r\n" % size)
    tracemalloc.start()
    try:
        for _ in range(size // len(piece)):
            observer.client_sent(piece)
            observer.server_sent(piece)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 110_000  # a piece of it in flight
    observer.client_sent(b"\r\nNOOP\r\n")
    assert told(list(observer.server_sent(b"\r\nOK\r\nOK\r\nOK\r\n"))) == [
        "GETSCRIPT ok",
        "PUTSCRIPT ok",
        "NOOP ok",
    ]


# Strings.


@pytest.mark.parametrize(
    ("segments", "values"),
    [
        ([b' "a" "b"'], [b"a", b"b"]),
        ([b' "" ""'], [b"", b""]),
        ([b' "a\\"b\\\\" c'], [b'a"b\\', b"c"]),
        ([b'"a""b"'], [b"a", b"b"]),
        ([b"a", b"b c d"], [b"a", b"literal"]),
        ([b"", b"b"], [b"literal", b"b"]),
        ([b"", b"", b""], [b"literal", b"literal"]),
        ([b' "not closed'], []),
        ([b""], []),
    ],
)
def test_the_first_values_of_a_line_are_taken_in_each_form(segments: list[bytes], values: list[bytes]) -> None:
    strings = Strings()
    for number, segment in enumerate(segments, 1):
        strings.line(segment, literal=number < len(segments))
        strings.literal(b"lite")
        strings.literal(b"ral")
    assert strings.values == values


@given(st.lists(st.tuples(st.binary(max_size=50), st.lists(st.binary(max_size=20), max_size=5)), max_size=6))
def test_values_are_bounded(parts: list[tuple[bytes, list[bytes]]]) -> None:
    strings = Strings()
    for segment, literal in parts:
        strings.line(segment, literal=True)
        for piece in literal:
            strings.literal(piece * 1000)
    strings.line(b"", literal=False)
    assert len(strings.values) <= 2
    assert all(len(value) <= LINE_LIMIT for value in strings.values)


# Replies.


@pytest.mark.parametrize(
    ("wire", "reply"),
    [
        (b"OK\r\n", Reply("ok")),
        (b"oK\n", Reply("ok")),
        (b'OK "text"\r\n', Reply("ok")),
        (b'NO (QUOTA/MAXSIZE) "text"\r\n', Reply("no", "QUOTA/MAXSIZE")),
        (b"NO (quota/maxscripts)\r\n", Reply("no", "QUOTA/MAXSCRIPTS")),
        (b"NO (QUOTA/X/Y)\r\n", Reply("no", "QUOTA")),
        (b"NO (TRYLATER) {4}\r\nNO\r\n\r\n", Reply("no", "TRYLATER")),
        (b'BYE (REFERRAL "sieve://x") "go"\r\n', Reply("bye", "REFERRAL")),
        (b"OK (SASL {4}\r\n....)\r\n", Reply("ok", "SASL")),
        (b"OK (SASL {4}\r\n....) {2}\r\n..\r\n", Reply("ok", "SASL")),
        (b"NO (X-OWN)\r\n", Reply("no", "_OTHER")),
        (b"NO ()\r\n", Reply("no", "_OTHER")),
        (b'NO ("secret")\r\n', Reply("no", "_OTHER")),
        (b'NO "(QUOTA)"\r\n', Reply("no")),
        (GREETING, Reply("ok", capabilities=True)),
        (b'"A" "b"\r\n"IMPLEMENTATION" {1}\r\nx\r\nOK\r\n', Reply("ok", capabilities=True)),
        (b'""\r\n', Reply("none", challenge=b"")),
        (b'"UGFz"\r\n', Reply("none", challenge=b"UGFz")),
        (b"{4}\r\nUGFz\r\n", Reply("none", challenge=b"UGFz")),
        (b"{0}\r\n\r\n", Reply("none", challenge=b"")),
        (b"{70}\r\n" + b"x" * 70 + b"\r\n", Reply("none", challenge=b"x" * CHALLENGE_LIMIT)),
        (b'"' + b"x" * 70 + b'"\r\n', Reply("none", challenge=b"x" * CHALLENGE_LIMIT)),
        (b"+ go on\r\n", Reply("none", asks=True)),
        (b'"x" ACTIVE\r\n', None),
        (b"{1}\r\nx ACTIVE\r\n", None),
        (b"{1}\r\nx {1}\r\nx\r\n", None),
        (b"OKAY\r\n", None),
        (b"\r\n", None),
        (b"BYE", None),
    ],
)
@pytest.mark.parametrize("size", [1, 7, 1000])
def test_a_response_is_read(wire: bytes, reply: Reply | None, size: int) -> None:
    replies = Replies()
    found = [one for start in range(0, len(wire), size) for one in replies.feed(wire[start : start + size])]
    assert found == ([reply] if reply is not None else [])


@given(st.lists(st.binary(max_size=60), max_size=30))
def test_a_response_code_is_from_the_closed_set(lines: list[bytes]) -> None:
    replies = Replies()
    for line in lines:
        for reply in replies.feed(b"NO (" + line + b")\r\n"):
            assert reply.code is None or reply.code in CODES | {"_OTHER"}


# Logins.

PLAIN = b64(b"\0alice\0secret").decode()
ADMIN = b64(b"alice\0admin\0secret").decode()
SIZE = len(PLAIN)
TOKEN = b64(b"user=a@x.org\x01auth=Bearer secret\x01\x01").decode()


@pytest.mark.parametrize(
    ("exchange", "success"),
    [
        (f'C: AUTHENTICATE "PLAIN" "{PLAIN}"\nS: OK', "+ PLAIN alice"),
        (f"C: authenticate plain {PLAIN}\nS: OK", "+ PLAIN alice"),
        (f'C: AUTHENTICATE"PLAIN""{PLAIN}"\nS: OK', "+ PLAIN alice"),
        (f'C: AUTHENTICATE "PLAIN" {{{SIZE}+}}\nC: {PLAIN}\nS: OK', "+ PLAIN alice"),
        (f"C: AUTHENTICATE {{5+}}\nC: PLAIN {{{SIZE}+}}\nC: {PLAIN}\nS: OK", "+ PLAIN alice"),
        (f'C: AUTHENTICATE "PLAIN"\nS: ""\nC: "{PLAIN}"\nS: OK', "+ PLAIN alice"),
        (f'C: AUTHENTICATE "PLAIN"\nS: {{0}}\nS: \nC: "{ADMIN}"\nS: OK', "+ PLAIN alice"),
        (f'C: AUTHENTICATE "PLAIN"\nS: ""\nC: {{{SIZE}+}}\nC: {PLAIN}\nS: OK', "+ PLAIN alice"),
        (f'C: AUTHENTICATE "PLAIN"\nS: ""\nC: {{{SIZE}}}\nS: + go\nC: {PLAIN}\nS: OK', "+ PLAIN alice"),
        (f'C: AUTHENTICATE "PLAIN" ""\nS: ""\nC: "{PLAIN}"\nS: OK', "+ PLAIN alice"),
        (
            'C: AUTHENTICATE "LOGIN"\nS: "VXNlciBOYW1lAA=="\nC: "YWxpY2U="\n'
            'S: "UGFzc3dvcmQA"\nC: "c2VjcmV0"\nS: OK',
            "+ LOGIN alice",
        ),
        ('C: AUTHENTICATE "LOGIN" "YWxpY2U="\nS: "UGFzc3dvcmQA"\nC: "c2VjcmV0"\nS: OK', "+ LOGIN alice"),
        ('C: AUTHENTICATE "LOGIN"\nS: "UGFzc3dvcmQA"\nC: "c2VjcmV0"\nS: OK', "+ LOGIN None"),
        ('C: AUTHENTICATE "CRAM-MD5"\nS: "PDE+"\nC: "YWxpY2UgYWJjZA=="\nS: OK', "+ CRAM-MD5 alice"),
        (f'C: AUTHENTICATE "XOAUTH2" "{TOKEN}"\nS: OK', "+ XOAUTH2 a@x.org"),
        (
            'C: AUTHENTICATE "SCRAM-SHA-1"\nS: ""\nC: "biwsbj1hbGljZSxyPXg="\n'
            'S: "eA=="\nC: "eA=="\nS: OK (SASL "eA==")',
            "+ SCRAM-SHA-1 alice",
        ),
        (
            'C: AUTHENTICATE "X-OWN"\nS: "eA=="\nC: "YWxpY2UgYWJjZA=="\nS: "eA=="\nC: "eA=="\nS: OK',
            "+ _OTHER None",
        ),
        ("C: AUTHENTICATE\nS: OK", "+ None None"),
    ],
)
def test_the_user_of_an_exchange_is_found(exchange: str, success: str) -> None:
    assert [line.removesuffix(" SASL") for line in tell(exchange)] == [success, "AUTHENTICATE ok"]


@pytest.mark.parametrize(
    ("exchange", "failure"),
    [
        (f'C: AUTHENTICATE "PLAIN" "{PLAIN}"\nS: NO "no"', "- PLAIN alice invalid_credentials"),
        ('C: AUTHENTICATE "PLAIN"\nS: ""\nC: "*"\nS: NO', "- PLAIN None cancelled"),
        ('C: AUTHENTICATE "PLAIN"\nS: ""\nC: {1+}\nC: *\nS: NO', "- PLAIN None cancelled"),
        ('C: AUTHENTICATE "X-NONE"\nS: NO', "- _OTHER None mechanism_unknown"),
        ('C: AUTHENTICATE "EXTERNAL" ""\nS: NO', "- EXTERNAL None invalid_credentials"),
        ('C: AUTHENTICATE "PLAIN"\nS: NO (ENCRYPT-NEEDED)', "- PLAIN None encryption_required"),
        (f'C: AUTHENTICATE "PLAIN" "{PLAIN}"\nS: NO (AUTH-TOO-WEAK)', "- PLAIN alice not_authorized"),
        (f'C: AUTHENTICATE "PLAIN" "{PLAIN}"\nS: NO (TRANSITION-NEEDED)', "- PLAIN alice expired"),
        (f'C: AUTHENTICATE "PLAIN" "{PLAIN}"\nS: NO (TRYLATER)', "- PLAIN alice temporary"),
        (f'C: AUTHENTICATE "PLAIN" "{PLAIN}"\nS: BYE "too many"', "- PLAIN alice _OTHER"),
        ('C: AUTHENTICATE "PLAIN"\nS: ""\nS: BYE (TRYLATER) "late"', "- PLAIN None temporary"),
        ('C: AUTHENTICATE "PLAIN" {400}\nS: NO', "- None None mechanism_unknown"),
    ],
)
def test_an_exchange_that_fails_says_why(exchange: str, failure: str) -> None:
    assert tell(exchange)[0] == failure


def test_a_client_that_goes_while_it_logs_in_has_not_failed_to() -> None:
    assert tell('C: AUTHENTICATE "PLAIN"\nS: ""') == ["AUTHENTICATE none"]
    assert tell('C: AUTHENTICATE "PLAIN" {6+}') == ["AUTHENTICATE none"]


def test_unauthenticate_ends_the_user() -> None:
    assert tell("C: UNAUTHENTICATE\nS: OK\nC: UNAUTHENTICATE\nS: NO") == [
        "user ends",
        "UNAUTHENTICATE ok",
        "UNAUTHENTICATE no",
    ]


def test_the_time_of_the_client_is_not_the_commands() -> None:
    times = itertools.count()
    observer = ManageSieveObserver(clock=lambda: float(next(times)))
    events = watch_with(observer, dialogue('C: AUTHENTICATE "PLAIN"\nS: ""\nC: ""\nS: OK'))
    # AUTHENTICATE at 0, its challenge at 1, the response at 2, the reply at 3.
    (command,) = [event for event in events if isinstance(event, Command)]
    assert command.duration == 2.0


def test_a_response_that_comes_too_early_is_no_command() -> None:
    assert tell(f'C: AUTHENTICATE "PLAIN"\nC: "{PLAIN}"\nS: ""\nS: OK\nC: NOOP\nS: OK') == [
        "+ PLAIN alice",
        "AUTHENTICATE ok",
        "NOOP ok",
    ]


# Capabilities that nobody asked for.


@pytest.mark.parametrize("capabilities", [True, False])
def test_the_capabilities_behind_starttls_answer_nothing(capabilities: bool) -> None:
    turns: list[Turn] = [
        *dialogue("C: STARTTLS\nS: OK"),
        *([("S", GREETING)] if capabilities else []),  # old servers do not list them
        *turns_of('C: AUTHENTICATE "PLAIN" "AGV2ZQB3cm9uZw=="\nS: NO\nC: CAPABILITY'),
        ("S", GREETING),
        *turns_of("C: NOOP\nS: OK"),
    ]
    assert told(watch(turns)) == [
        "STARTTLS ok",
        "- PLAIN eve invalid_credentials",
        "AUTHENTICATE no",
        "CAPABILITY ok",
        "NOOP ok",
    ]


def test_a_hasty_client_does_not_log_in_by_the_capabilities() -> None:
    turns: list[Turn] = [
        *dialogue('C: STARTTLS\nS: OK\nC: AUTHENTICATE "PLAIN" "AGV2ZQB3cm9uZw=="'),
        ("S", GREETING),
        ("S", b"NO\r\n"),
    ]
    assert told(watch(turns)) == ["STARTTLS ok", "- PLAIN eve invalid_credentials", "AUTHENTICATE no"]


def test_starttls_forgets_what_was_sent_too_early() -> None:
    turns: list[Turn] = [
        ("S", GREETING),
        ("C", b'STARTTLS\r\nAUTHENTICATE "PLAIN" "AGV2ZQBpbmplY3RlZA=="\r\n'),
        ("S", b"OK\r\n"),
        ("S", GREETING),
        ("C", b"NOOP\r\n"),
        ("S", b"OK\r\n"),
    ]
    assert told(watch(turns)) == ["STARTTLS ok", "NOOP ok"]


# Ends.


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('S: BYE "go away"', None),
        ("C: NOOP\nS: BYE", None),
        ("C: LOGOUT\nS: BYE", "quit"),
        ("C: NOOP\nC: LOGOUT\nS: OK\nS: BYE", "quit"),
        ("C: LOGOUT\nS: ok", "quit"),
        ("C: LOGOUT\nS: NO", None),
        ("C: NOOP\nS: OK BYE", None),
    ],
)
def test_the_end_has_a_reason(text: str, reason: str | None) -> None:
    observer = ManageSieveObserver()
    watch_with(observer, dialogue(text))
    assert observer.end_reason == reason


def test_to_a_client_a_bye_is_the_peers() -> None:
    observer = ManageSieveObserver(bye="peer_close")
    observer.server_sent(b'BYE "too many connections"\r\n')
    assert observer.end_reason == "peer_close"


def test_a_bye_answers_all_that_waits() -> None:
    assert tell("C: NOOP\nC: CAPABILITY\nS: BYE (TRYLATER)") == ["NOOP bye TRYLATER", "CAPABILITY bye TRYLATER"]


def test_a_command_under_way_is_unfinished() -> None:
    observer = ManageSieveObserver()
    observer.server_sent(GREETING)
    assert not observer.unfinished
    observer.client_sent(b'PUTSCRIPT "x" {100+}\r\nhalf')
    assert observer.unfinished


@pytest.mark.parametrize("line", [b"secret", b"", b' "LOGOUT"', b"NOOPX", b"{4+}", b"\0\xff \xfe", b"(NOOP)"])
def test_a_command_outside_the_set_is_not_named(line: bytes) -> None:
    assert told(watch([("S", GREETING), ("C", line + b"\r\n")])) == ["_OTHER none"]


# Whatever comes.


@given(st.lists(st.tuples(st.sampled_from("CS"), st.binary(max_size=80)), max_size=40))
@settings(max_examples=400)
def test_any_bytes_at_all_raise_nothing(turns: list[Turn]) -> None:
    watch(turns)


WORDS = [
    GREETING,
    b"OK\r\n",
    b'NO (QUOTA) "x"\r\n',
    b"BYE (TRYLATER)\r\n",
    b"OK (SASL {4}\r\n",
    b"NO {9}\r\n",
    b"+ \r\n",
    b'""\r\n',
    b'"VXNlciBOYW1lAA=="\r\n',
    b"{4}\r\n",
    b"{4+}\r\n",
    b"UGFz",
    b'AUTHENTICATE "PLAIN"\r\n',
    b'AUTHENTICATE "PLAIN" "AGFsaWNlAHdyb25n"\r\n',
    b'AUTHENTICATE "LOGIN" {8+}\r\n',
    b"YWxpY2U=",
    b'"*"\r\n',
    b'PUTSCRIPT "x" {20}\r\n',
    b'PUTSCRIPT "x" {20+}\r\n',
    b"STARTTLS\r\n",
    b"CAPABILITY\r\n",
    b"UNAUTHENTICATE\r\n",
    b"LOGOUT\r\n",
    b"NOOP\r\n",
    b"\r\n",
    b"nonsense\r\n",
]


@given(st.lists(st.tuples(st.sampled_from("CS"), st.sampled_from(WORDS)), max_size=60))
@settings(max_examples=1000)
def test_any_order_of_words_raises_nothing_and_answers_each_command_once(turns: list[Turn]) -> None:
    events = watch(turns)
    sequences = [event.sequence for event in events if isinstance(event, Command)]
    assert sequences == list(range(1, len(sequences) + 1))


@given(st.lists(st.tuples(st.sampled_from("CS"), st.sampled_from(WORDS)), max_size=40), st.integers(1, 9))
@settings(max_examples=400)
def test_any_order_of_words_gives_the_same_events_in_any_chunking(turns: list[Turn], size: int) -> None:
    chunked = [(side, data[at : at + size]) for side, data in turns for at in range(0, len(data), size)]
    assert watch(chunked) == watch(turns)


SECRETS = [
    b'AUTHENTICATE "PLAIN" "' + b64(b"\0bob\0" + SECRET) + b'"',
    b'AUTHENTICATE "PLAIN" "' + SECRET + b'"',
    b'AUTHENTICATE "PLAIN"',
    b'AUTHENTICATE "CRAM-MD5"',
    b'AUTHENTICATE "XOAUTH2" {%d+}' % len(SECRET),
    b'AUTHENTICATE "' + SECRET + b'"',
    SECRET,
    b64(SECRET),
    b'"' + SECRET + b'"',
    b'"' + b64(SECRET) + b'"',
    b'"' + b64(b"\0bob\0" + SECRET) + b'"',
    b"{%d+}" % len(b64(SECRET)),
    b"{%d}" % len(SECRET),
    b'"*"',
    b'PUTSCRIPT "' + SECRET + b'" {%d+}' % len(SECRET),
    b'SETACTIVE "' + SECRET + b'"',
    b"NOOP " + SECRET,
]
ANSWERS = [
    b'""',
    b'"UGFzc3dvcmQA"',
    b"+ ",
    b'OK (SASL "' + b64(SECRET) + b'") "' + SECRET + b'"',
    b"NO (" + SECRET + b") " + SECRET,
    b'BYE (REFERRAL "' + SECRET + b'")',
    b"{%d}" % len(SECRET),
    SECRET,
]


@given(
    st.lists(
        st.tuples(st.just("C"), st.sampled_from(SECRETS)) | st.tuples(st.just("S"), st.sampled_from(ANSWERS)),
        max_size=30,
    )
)
@settings(max_examples=600)
def test_no_secret_is_in_any_event(turns: list[Turn]) -> None:
    events = watch([("S", GREETING), *((side, line + b"\r\n") for side, line in turns)])
    assert SECRET.decode() not in repr(events)
    assert b64(SECRET).decode() not in repr(events)


@pytest.mark.parametrize(
    "flood",
    [
        b"x" * 1000,
        b"NOOP\r\n",
        b"NOOP " + b"y" * 4000 + b"\r\n",
        b'AUTHENTICATE "PLAIN"\r\n',
        b'AUTHENTICATE "PLAIN" {5000+}\r\n' + b"x" * 5000 + b"\r\n",
        b'PUTSCRIPT "x" {1000}\r\n',
        b'AUTHENTICATE "PLAIN" {1000+}\r\n',
        b"NOOP {1+}\r\n",
    ],
    ids=["endless line", "noops", "long noops", "auths", "responses", "literals", "names", "pieces"],
)
@pytest.mark.parametrize(
    "reply",
    [None, b"OK\r\n", b"+ \r\n", b'""\r\n', b"{100}\r\n", b"OK {100}\r\n", b"z" * 1000],
    ids=["silent", "answering", "asking", "challenging", "sending", "texting", "endless"],
)
def test_a_flood_does_not_fill_the_memory(flood: bytes, reply: bytes | None) -> None:
    observer = ManageSieveObserver()
    observer.server_sent(GREETING)
    tracemalloc.start()
    try:
        for _ in range(3000):
            observer.client_sent(flood)
            if reply is not None:
                observer.server_sent(reply)
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held < PENDING * 1200 + 2 * HELD_LIMIT


def test_a_login_is_not_hidden_behind_a_flood() -> None:
    turns: list[Turn] = [
        ("S", GREETING),
        ("C", b'AUTHENTICATE "PLAIN" "AGFsaWNlAHdyb25n"\r\n' + b"NOOP\r\n" * 30_000),
        ("S", b"OK\r\n"),
    ]
    events = watch(turns)
    assert [event.identity for event in events if isinstance(event, AuthSuccess)] == ["alice"]
