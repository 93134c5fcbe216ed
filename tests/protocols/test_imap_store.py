"""What an IMAP session does to messages: dialogues in, openings, deletions and storings out."""

from __future__ import annotations

import random
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sessionspan.events import Event
from sessionspan.protocols.imap import IMAPObserver
from sessionspan.protocols.imap.fetched import FetchReader, glance
from sessionspan.protocols.imap.mailbox import REMEMBERED, Mailbox
from sessionspan.protocols.imap.numbers import numbers
from sessionspan.protocols.imap.target import Append, Target, decoded
from sessionspan.protocols.lines import LINE_LIMIT
from tests.protocols.dialogues import Turn, tell_of_store


def turns(text: str) -> list[Turn]:
    """Turns from lines ``C: ...`` and ``S: ...``, behind a greeting; ``|`` is a line end within a turn."""
    found: list[Turn] = [("S", b"* OK hi\r\n")]
    for line in text.strip().splitlines():
        side, _, rest = line.strip().partition(": ")
        found.append((side, rest.replace("|", "\r\n").encode() + b"\r\n"))
    return found


def tell_turns(turns: list[Turn]) -> list[str]:
    observer = IMAPObserver(clock=lambda: 0.0)
    events: list[Event] = []
    for side, data in turns:
        events += observer.client_sent(data) if side == "C" else observer.server_sent(data)
    events += observer.finish()
    return [line for line in map(tell_of_store, events) if line is not None]


def tell(text: str) -> list[str]:
    return tell_turns(turns(text))


SELECTED = """
    C: s SELECT INBOX
    S: * 3 EXISTS
    S: s OK [READ-WRITE] done
"""
SHOWN = SELECTED + "S: * 1 FETCH (UID 11)\nS: * 2 FETCH (UID 12)\nS: * 3 FETCH (UID 13)\n"


# Openings.


@pytest.mark.parametrize(
    ("response", "told"),
    [
        ("1 FETCH (BODY[] {3}|abc)", "open INBOX - 3 -"),
        ("1 FETCH (UID 7 BODY[] {3}|abc)", "open INBOX 7 3 -"),
        ("1 FETCH (BODY[] {3}|abc UID 7)", "open INBOX 7 3 -"),
        ("1 fetch (uid 7 body[text] {3}|abc)", "open INBOX 7 None -"),
        ("1 FETCH (RFC822.SIZE 99 BODY[TEXT] {3}|abc)", "open INBOX - 99 -"),
        ("1 FETCH (BODY[TEXT] {3}|abc RFC822.SIZE 99)", "open INBOX - 99 -"),
        ("1 FETCH (RFC822.SIZE 99 BODY[] {3}|abc)", "open INBOX - 99 -"),
        ("1 FETCH (RFC822 {3}|abc)", "open INBOX - 3 -"),
        ("1 FETCH (RFC822.TEXT {3}|abc)", "open INBOX - None -"),
        ("1 FETCH (BODY[1] {3}|abc)", "open INBOX - None -"),
        ("1 FETCH (BODY[1.2] {3}|abc)", "open INBOX - None -"),
        ("1 FETCH (BINARY[1] ~{3}|a\0c)", "open INBOX - None -"),
        ('1 FETCH (BODY[1] "abc")', "open INBOX - None -"),
        ('1 FETCH (BODY[] "Message-ID: <a@b>")', "open INBOX - 17 -"),
        ("1 FETCH (BODY[]<0> {3}|abc)", "open INBOX - None -"),
        ("1 FETCH (BODY[] {22}|Message-ID: <a@b.c>||x)", "open INBOX - 22 a@b.c"),
        ("1 FETCH (BODY[HEADER] {21}|Message-ID: <a@b.c>| BODY[TEXT] {1}|x)", "open INBOX - None a@b.c"),
        (
            "1 FETCH (BODY[HEADER.FIELDS (MESSAGE-ID)] {21}|Message-ID: <a@b.c>| BODY[1] {1}|x)",
            "open INBOX - None a@b.c",
        ),
        ("1 FETCH (BODY[1] {21}|Message-ID: <a@b.c>|)", "open INBOX - None -"),
        (
            '1 FETCH (ENVELOPE ("d" "s" NIL NIL NIL NIL NIL NIL NIL "<a@b.c>") BODY[1] {1}|x)',
            "open INBOX - None a@b.c",
        ),
        (
            '1 FETCH (BODY[1] {1}|x ENVELOPE ("d" "s" (("n" NIL "m" "h")) NIL NIL NIL NIL NIL NIL "<a@b.c>"))',
            "open INBOX - None a@b.c",
        ),
        ('1 FETCH (FLAGS (\\Seen) INTERNALDATE "1-Jan-2026" MODSEQ (7) BODY[] {1}|x)', "open INBOX - 1 -"),
        ("9 UIDFETCH (BODY[] {1}|x)", "open INBOX 9 1 -"),
    ],
)
def test_a_message_is_opened_when_its_body_is_sent(response: str, told: str) -> None:
    assert tell(f"{SELECTED}C: 1 FETCH 1 X\nS: * {response}\nS: 1 OK done") == [told]


@pytest.mark.parametrize(
    "response",
    [
        "1 FETCH (FLAGS (\\Seen) UID 7)",
        "1 FETCH (BODY[HEADER] {3}|abc)",
        "1 FETCH (RFC822.HEADER {3}|abc)",
        "1 FETCH (BODY[HEADER.FIELDS (FROM TO)] {3}|abc)",
        "1 FETCH (BODY[HEADER.FIELDS.NOT (FROM)] {3}|abc)",
        "1 FETCH (BODY[1.MIME] {3}|abc)",
        "1 FETCH (BODY[1.HEADER] {3}|abc)",
        "1 FETCH (BODY[]<65536> {3}|abc)",
        "1 FETCH (BODY[] NIL)",
        '1 FETCH (ENVELOPE ("d" "s" NIL NIL NIL NIL NIL NIL NIL NIL) UID 1)',
        '1 FETCH (BODY ("TEXT" "PLAIN" NIL NIL NIL "7BIT" 3 1))',
        '1 FETCH (BODYSTRUCTURE ("TEXT" "PLAIN" ("X" "BODY[] {3}") NIL NIL "7BIT" 3 1))',
        "1 FETCH (BINARY.SIZE[1] 3)",
        "1 FETCH (RFC822.SIZE 3)",
        '1 FETCH (ENVELOPE ("d" "BODY[] {5}" NIL NIL NIL NIL NIL NIL NIL "<a@b>"))',
        '1 FETCH (ENVELOPE ("d" "\\") BODY[] x" NIL NIL NIL NIL NIL NIL NIL "<a@b>"))',
        '1 FETCH (X-GM-LABELS ("BODY[]" BODY[]) UID 1)',
        "1 FETCH (ENVELOPE (NIL {14}|) BODY[] {1}|x NIL NIL NIL NIL NIL NIL NIL NIL))",
        "1 EXISTS",
        "OK 1 FETCH (BODY[] {1}|x)",
    ],
)
def test_what_is_no_body_opens_nothing(response: str) -> None:
    assert tell(f"{SELECTED}C: 1 FETCH 1 X\nS: * {response}\nS: 1 OK done") == []


def test_the_unique_id_of_a_message_is_remembered() -> None:
    assert tell(SHOWN + "C: 1 FETCH 2 BODY[TEXT]\nS: * 2 FETCH (BODY[TEXT] {1}|x)\nS: 1 OK") == [
        "open INBOX 12 None -"
    ]


def test_an_envelope_as_long_as_you_like_hides_no_opening() -> None:
    envelope = 'ENVELOPE ("d" "' + "s" * LINE_LIMIT + '" NIL NIL NIL NIL NIL NIL NIL "<a@b>")'
    assert tell(f"{SELECTED}C: 1 FETCH 1 X\nS: * 1 FETCH (UID 7 {envelope} BODY[] {{1}}|x FLAGS ())\nS: 1 OK") == [
        "open INBOX 7 1 -"
    ]
    forged = envelope.replace(' "<a@b>")', ' "<a@b> BODY[] {1}"')
    assert tell(f"{SELECTED}C: 1 FETCH 1 X\nS: * 1 FETCH ({forged}))\nS: 1 OK") == []


# Deletions.

MARKED = SHOWN + "C: m STORE 2 +FLAGS (\\Deleted)\nS: * 2 FETCH (FLAGS (\\Seen \\Deleted))\nS: m OK\n"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("C: 1 EXPUNGE\nS: * 2 EXPUNGE\nS: 1 OK", ["delete INBOX 12 None"]),
        (
            "C: 1 EXPUNGE\nS: * 1 EXPUNGE\nS: * 1 EXPUNGE\nS: 1 OK",
            ["delete INBOX 11 None", "delete INBOX 12 None"],
        ),
        (
            "C: 1 EXPUNGE\nS: * 3 EXPUNGE\nS: * 1 EXPUNGE\nS: 1 OK",
            ["delete INBOX 13 None", "delete INBOX 11 None"],
        ),
        ("C: 1 UID EXPUNGE 13\nS: * 3 EXPUNGE\nS: 1 OK", ["delete INBOX 13 None"]),
        (
            "C: 1 UID MOVE 13 Trash\nS: * OK [COPYUID 1 13 1] moved\nS: * 3 EXPUNGE\nS: 1 OK",
            ["delete INBOX 13 None"],
        ),
        ("C: 1 MOVE 9 Trash\nS: * 9 EXPUNGE\nS: 1 OK", ["delete INBOX - None"]),
        ("C: 1 UID EXPUNGE 11:12\nS: * VANISHED 11:12\nS: 1 OK", ["delete INBOX 11 None", "delete INBOX 12 None"]),
        ("C: 1 CLOSE\nS: 1 OK", ["delete INBOX 12 None"]),
        ("C: 1 CLOSE\nS: 1 NO\nC: 2 CLOSE\nS: 2 OK\nC: 3 CLOSE\nS: 3 OK", ["delete INBOX 12 None"]),
        # Other sessions delete, too: that is theirs to tell. The numbers move all the same.
        ("C: 1 NOOP\nS: * 1 EXPUNGE\nS: 1 OK", []),
        ("C: 1 NOOP\nS: * 1 EXPUNGE\nS: 1 OK\nC: 2 EXPUNGE\nS: * 1 EXPUNGE\nS: 2 OK", ["delete INBOX 12 None"]),
        ("C: 1 NOOP\nS: * VANISHED 12\nS: 1 OK\nC: 2 CLOSE\nS: 2 OK", []),
        ("C: 1 NOOP\nS: * VANISHED 11\nS: 1 OK\nC: 2 CLOSE\nS: 2 OK", ["delete INBOX 12 None"]),
        ("C: 1 EXPUNGE\nS: * VANISHED (EARLIER) 1:9\nS: 1 OK", []),
        # What was only marked is not deleted.
        ("C: 1 UNSELECT\nS: 1 OK\nC: 2 CLOSE\nS: 2 BAD", []),
        ("C: 1 LOGOUT\nS: * BYE\nS: 1 OK", []),
        ("C: 1 SELECT Other\nS: 1 OK\nC: 2 CLOSE\nS: 2 OK", []),
        ("C: 1 SELECT Other\nS: 1 NO\nC: 2 CLOSE\nS: 2 BAD", []),
        ("C: 1 STORE 2 -FLAGS (\\Deleted)\nS: * 2 FETCH (FLAGS ())\nS: 1 OK\nC: 2 CLOSE\nS: 2 OK", []),
        ("C: 1 STORE 2 -FLAGS.SILENT (\\Deleted)\nS: 1 OK\nC: 2 CLOSE\nS: 2 OK", []),
        ("C: 1 UID STORE 12 FLAGS.SILENT (\\Seen)\nS: 1 OK\nC: 2 CLOSE\nS: 2 OK", []),
        ("C: 1 STORE 2 -FLAGS.SILENT (\\Seen)\nS: 1 OK\nC: 2 CLOSE\nS: 2 OK", ["delete INBOX 12 None"]),
        ("C: 1 STORE 2 -FLAGS.SILENT (\\Deleted)\nS: 1 NO\nC: 2 CLOSE\nS: 2 OK", ["delete INBOX 12 None"]),
        (
            "C: 1 STORE 2 (UNCHANGEDSINCE 5) -FLAGS.SILENT (\\Deleted)\nS: 1 OK [MODIFIED 2]\nC: 2 CLOSE\nS: 2 OK",
            ["delete INBOX 12 None"],
        ),
        ("C: 1 STORE 2 (UNCHANGEDSINCE 5) -FLAGS.SILENT (\\Deleted)\nS: 1 OK\nC: 2 CLOSE\nS: 2 OK", []),
    ],
)
def test_what_goes_by_the_sessions_own_command_is_deleted(text: str, told: list[str]) -> None:
    assert tell(MARKED + text) == told


@pytest.mark.parametrize(
    ("command", "told"),
    [
        ("STORE 1:2 +FLAGS.SILENT (\\Deleted)", ["11", "12"]),
        ("STORE 2:* +FLAGS.SILENT (\\deleted \\Seen)", ["12", "13"]),
        ("STORE *:2 FLAGS.SILENT \\Deleted", ["12", "13"]),
        ("STORE 3,1 +FLAGS.SILENT \\Deleted", ["11", "13"]),
        ("UID STORE 13,11 +FLAGS.SILENT (\\Deleted)", ["11", "13"]),
        ("UID STORE 12:99 +FLAGS.SILENT (\\Deleted)", ["12", "13"]),
        ("UID STORE 1:* +FLAGS.SILENT (\\Deleted)", ["11", "12", "13"]),
        ("UID STORE 99 +FLAGS.SILENT (\\Deleted)", ["99"]),
        ("STORE 1 +FLAGS.SILENT (\\Seen)", []),
        ("STORE 1 +FLAGS.SILENT (\\DeletedNot)", []),
        ("STORE x +FLAGS.SILENT (\\Deleted)", []),
        ("STORE 99999999999 +FLAGS.SILENT (\\Deleted)", []),
        ("STORE", []),
    ],
)
def test_close_deletes_what_was_marked_in_silence(command: str, told: list[str]) -> None:
    assert tell(f"{SHOWN}C: 1 {command}\nS: 1 OK\nC: 2 CLOSE\nS: 2 OK") == [
        f"delete INBOX {uid} None" for uid in told
    ]


def test_what_was_marked_in_silence_and_expunged_is_deleted_once() -> None:
    marked = "C: 1 UID STORE 99 +FLAGS.SILENT (\\Deleted)\nS: 1 OK\n"
    expunged = "C: 2 EXPUNGE\nS: * 3 EXPUNGE\nS: 2 OK\nC: 3 CLOSE\nS: 3 OK"
    assert tell(SELECTED + marked + expunged) == ["delete INBOX - None"]


@pytest.mark.parametrize(
    ("command", "reply"), [("EXAMINE", "OK"), ("EXAMINE", "OK [READ-ONLY]"), ("SELECT", "OK [READ-ONLY]")]
)
def test_a_mailbox_that_is_only_read_loses_nothing_by_close(command: str, reply: str) -> None:
    text = f"C: 1 {command} INBOX\nS: 1 {reply} x\nS: * 1 FETCH (FLAGS (\\Deleted) UID 1)\nC: 2 CLOSE\nS: 2 OK"
    assert tell(text) == []


# Storings.


@pytest.mark.parametrize(
    ("command", "reply", "told"),
    [
        ("APPEND Sent {5+}|hello", "OK", ["store Sent - 5 -"]),
        ("append Sent {5+}|hello", "OK [APPENDUID 38505 3955] done", ["store Sent 3955 5 -"]),
        ('APPEND "My \\"box\\"" (\\Seen) "1-Jan-2026 00:00:00 +0000" {5+}|hello', "OK", ['store My "box" - 5 -']),
        ("APPEND {4+}|Sent (\\Seen) {5+}|hello", "OK", ["store Sent - 5 -"]),
        ("APPEND Sent {23+}|Message-ID: <a@b.c>|||", "OK", ["store Sent - 23 a@b.c"]),
        ("APPEND Entw&APw-rfe {1+}|x", "OK", ["store Entw\xfcrfe - 1 -"]),
        ("APPEND Sent {1+}|x", "NO [OVERQUOTA] full", []),
        ("APPEND Sent {1+}|x", "BAD what", []),
        ("APPEND Sent ~{1+}|x", "OK", ["store Sent - 1 -"]),
        ("APPEND Sent UTF8 (~{1+}|x)", "OK", ["store Sent - 1 -"]),
        (
            "APPEND Sent {1+}|x (\\Seen) {2+}|yy",
            "OK [APPENDUID 1 7:8] done",
            ["store Sent 7 1 -", "store Sent 8 2 -"],
        ),
        ("APPEND Sent {1+}|x {2+}|yy", "OK [APPENDUID 1 7] done", ["store Sent - 1 -", "store Sent - 2 -"]),
        (
            'APPEND Sent CATENATE (URL "/x" TEXT {1+}|x TEXT {2+}|yy)',
            "OK [APPENDUID 1 7] x",
            ["store Sent 7 None -"],
        ),
        ("APPEND Sent", "OK", []),
        ("APPEND", "OK", []),
    ],
)
def test_an_accepted_message_is_stored(command: str, reply: str, told: list[str]) -> None:
    assert tell(f"C: 1 {command}\nS: 1 {reply}") == told


@pytest.mark.parametrize(
    ("argument", "name"),
    [
        (b"INBOX", "INBOX"),
        (b' "a b"', "a b"),
        (b'"a \\"b\\\\"', 'a "b\\'),
        (b'"open', None),
        (b"", None),
        (b"R&-D", "R&D"),
        (b"&AOQ-/&AOQ-", "\xe4/\xe4"),
        (b"&!-", "&!-"),
        (b"&AOQ", "&AOQ"),
        (b"&A-", "&A-"),
        ("\xe4".encode(), "\xe4"),
        (b"\xff", "\\xff"),
        (b"x" * 999, "x" * 255),
    ],
)
def test_the_name_of_a_mailbox_is_read_in_each_form(argument: bytes, name: str | None) -> None:
    assert Target(argument).name == name


# Whatever comes.

SESSION = turns(
    SHOWN
    + """
    C: 1 UID FETCH 11:13 (BODY[])
    S: * 1 FETCH (UID 11 BODY[] {25}|Message-ID: <1@b.c>||body FLAGS (\\Seen))
    S: * 2 FETCH (FLAGS (\\Seen) ENVELOPE ("d" "s" NIL NIL NIL NIL NIL NIL NIL "<2@b.c>") BODY[1] {4}|* 1 )
    S: 1 OK done
    C: 2 APPEND {4+}|Sent () {22+}|Message-ID: <3@b.c>||x
    S: 2 OK [APPENDUID 1 5] done
    C: 3 STORE 1,3 +FLAGS.SILENT (\\Deleted)
    S: 3 OK done
    C: 4 UID EXPUNGE 11
    S: * 1 EXPUNGE
    S: 4 OK done
    C: 5 CLOSE
    S: 5 OK done
    """
)
TOLD = [
    "open INBOX 11 25 1@b.c",
    "open INBOX 12 None 2@b.c",
    "store Sent 5 22 3@b.c",
    "delete INBOX 11 None",
    "delete INBOX 13 None",
]


@given(seed=st.integers(), longest=st.integers(1, 9))
@settings(max_examples=300)
def test_any_chunking_gives_the_same_events(seed: int, longest: int) -> None:
    rng = random.Random(seed)
    chunked = []
    for side, data in SESSION:
        while data:
            size = rng.randint(1, longest)
            chunked.append((side, data[:size]))
            data = data[size:]
    assert tell_turns(chunked) == TOLD


def test_a_client_that_does_not_wait_gives_the_same_events() -> None:
    client = b"".join(data for side, data in SESSION if side == "C")
    server = b"".join(data for side, data in SESSION if side == "S")
    assert tell_turns([("C", client), ("S", server)]) == TOLD


WORDS = [
    b"1 SELECT INBOX\r\n",
    b"2 EXAMINE {3}\r\n",
    b"box\r\n",
    b"1 OK [READ-WRITE]\r\n",
    b"2 NO no\r\n",
    b"3 OK [APPENDUID 1 2:3]\r\n",
    b"+ \r\n",
    b"* 3 EXISTS\r\n",
    b"* 0 EXPUNGE\r\n",
    b"* 1 EXPUNGE\r\n",
    b"* 4294967296 EXPUNGE\r\n",
    b"* VANISHED 1:4294967295,7\r\n",
    b"* 1 FETCH (UID 1 FLAGS (\\Deleted))\r\n",
    b"* 2 FETCH (UID 99999999999 BODY[] {4}\r\n",
    b"* 9999999999 FETCH (BODY[] NIL\r\n",
    b"* 1 UIDFETCH (FLAGS (\\Deleted) ENVELOPE (((((\r\n",
    b"))))) BODY[] {1}\r\n",
    b"1 STORE 1:* +FLAGS (\\Deleted)\r\n",
    b"2 UID STORE 1:4294967295 +FLAGS.SILENT (\\Deleted)\r\n",
    b"2 STORE 4294967295,0 FLAGS.SILENT ()\r\n",
    b"1 EXPUNGE\r\n",
    b"2 CLOSE\r\n",
    b"3 APPEND x {4}\r\n",
    b"3 APPEND {2+}\r\n",
    b"3 APPEND x CATENATE (TEXT {3+}\r\n",
    b"2 MOVE 1 x\r\n",
]


@given(st.lists(st.tuples(st.sampled_from("CS"), st.sampled_from(WORDS) | st.binary(max_size=20)), max_size=60))
@settings(max_examples=1000)
def test_any_order_of_words_raises_nothing(found: list[Turn]) -> None:
    tell_turns([("S", b"* OK hi\r\n"), *found])


@given(st.lists(st.tuples(st.sampled_from("CS"), st.sampled_from(WORDS)), max_size=40), st.integers(1, 9))
@settings(max_examples=300)
def test_any_order_of_words_gives_the_same_events_in_any_chunking(found: list[Turn], size: int) -> None:
    whole: list[Turn] = [("S", b"* OK hi\r\n"), *found]
    chunked = [(side, data[at : at + size]) for side, data in whole for at in range(0, len(data), size)]
    assert tell_turns(chunked) == tell_turns(whole)


@given(st.binary(max_size=200), st.binary(max_size=64), st.integers(0, 9) | st.none(), st.binary(max_size=9))
def test_a_fetch_of_any_bytes_raises_nothing(text: bytes, tail: bytes, literal: int | None, data: bytes) -> None:
    reader = FetchReader(1, is_uid=False)
    for _ in range(3):
        reader.line(b"(" + text, tail, literal)
        reader.literal(data)
    assert reader.wants >= 0
    reader.done()


@given(st.binary(max_size=100), st.lists(st.binary(max_size=50), max_size=5))
def test_an_append_of_any_bytes_is_bounded(argument: bytes, pieces: list[bytes]) -> None:
    append = Append(argument)
    for piece in pieces:
        append.begins(len(piece))
        append.literal(piece * 100)
        append.line(piece)
    assert append.name is None or len(append.name) <= 255
    assert decoded(argument) is None or len(decoded(argument) or "") <= 255


ACTIONS = st.lists(
    st.tuples(st.just("saw"), st.integers(1, 12))
    | st.tuples(st.just("expunged"), st.integers(1, 12))
    | st.tuples(st.just("marked"), st.integers(1, 12)),
    max_size=60,
)


@given(ACTIONS)
def test_numbers_move_as_in_a_list_of_messages(actions: list[tuple[str, int]]) -> None:
    messages = [[100 + n, False, False] for n in range(12)]  # uid, shown, marked
    mailbox = Mailbox("x", False)
    for action, number in actions:
        if number > len(messages):
            continue
        message = messages[number - 1]
        if action == "saw":
            message[1] = True
            mailbox.saw(number, message[0], None)
        elif action == "marked":
            message[2] = True
            mailbox.mark(b"%d" % number, len(messages), True)
        else:
            gone, shown, _ = messages.pop(number - 1)
            assert mailbox.expunged(number) == (gone if shown else None)
    for number, (uid, shown, _) in enumerate(messages, 1):
        assert mailbox.uid_of(number) == (uid if shown else None)
    assert mailbox.marked() == [uid if shown else None for uid, shown, marked in messages if marked]


def test_of_a_large_mailbox_the_last_messages_are_remembered_in_little_memory() -> None:
    observer = IMAPObserver()
    for side, data in turns("C: s SELECT INBOX\nS: * 50000 EXISTS\nS: s OK\nC: 1 FETCH 1:* (UID FLAGS)"):
        (observer.client_sent if side == "C" else observer.server_sent)(data)
    tracemalloc.start()
    try:
        for number in range(1, 50_001):
            observer.server_sent(b"* %d FETCH (UID %d FLAGS (\\Deleted))\r\n" % (number, number + 7))
        for _ in range(3):
            observer.client_sent(b"2 UID STORE " + b"7," * 2000 + b"7:* +FLAGS.SILENT (\\Deleted)\r\n")
            observer.server_sent(b"2 OK\r\n")
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held < 20 * REMEMBERED
    observer.client_sent(b"3 CLOSE\r\n")
    told = [tell_of_store(event) for event in observer.server_sent(b"3 OK\r\n")]
    assert told[0] == f"delete INBOX {50_000 - REMEMBERED + 8} None"
    assert told[REMEMBERED - 1] == "delete INBOX 50007 None"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (b"1:3,7", [1, 2, 3, 7]),
        (b"3:1", [1, 2, 3]),
        (b"*", [9]),
        (b"8:*", [8, 9]),
        (b"1:4294967295", [1, 2, 3, 4]),
    ],
)
def test_a_set_of_numbers_is_read_up_to_a_limit(text: bytes, found: list[int]) -> None:
    assert list(numbers(text, 9, 4)) == found


@given(
    st.lists(
        st.sampled_from(
            [
                b"UID 7",
                b"UID 99999999999",
                b"UID 7x",
                b"FLAGS (\\Seen)",
                b"FLAGS (\\Deleted \\Seen)",
                b"flags (\\deletedNot)",
                b"FLAGS ()",
                b"RFC822.SIZE 9",
                b"MODSEQ (3)",
                b'INTERNALDATE "17-Jul-1996 02:44:25 -0700"',
                b'ENVELOPE ("x" "UID 8 FLAGS (\\Deleted)" NIL)',
                b'ENVELOPE ("x" NIL)',
                b'BODYSTRUCTURE ("TEXT" ("UID" "9"))',
                b'BODY[] "UID 6"',
                b"X-LABELS (UID 5)",
            ]
        ),
        max_size=6,
    )
)
def test_a_glance_sees_what_reading_sees(items: list[bytes]) -> None:
    text = b"(" + b" ".join(items) + b")"
    reader = FetchReader(1, is_uid=False)
    reader.line(text, b"", None)
    read = reader.done()
    seen = glance(1, text)
    assert seen is None or (seen.uid, seen.marked, seen.opened) == (read.uid, read.marked, read.opened)
    if not any(item.startswith((b"ENVELOPE", b"BODY", b"X-", b"UID 7x")) for item in items):
        assert seen is not None
