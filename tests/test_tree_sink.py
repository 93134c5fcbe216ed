"""The tree sink: a session in at most fifteen lines, whatever its peer sends and wherever it is drawn."""

from __future__ import annotations

import io
import os
import pty
from collections.abc import Iterator

import pytest
from opentelemetry.sdk.trace import ReadableSpan

from sessionspan.addresses import Address
from sessionspan.cli.tree import LINES, TreeSink
from sessionspan.events import (
    AuthFailure,
    AuthSuccess,
    Command,
    Event,
    MailReception,
    MailRejection,
    SessionException,
    TLSEstablished,
    TLSFailure,
)
from sessionspan.opening import open_session
from sessionspan.scope import Scope
from sessionspan.session import Session, Side
from sessionspan.testing import Recorder


@pytest.fixture(autouse=True)
def _no_colour_from_outside(monkeypatch):
    for name in ("NO_COLOR", "FORCE_COLOR", "COLUMNS", "TERM"):
        monkeypatch.delenv(name, raising=False)


def span_of(recorder: Recorder, *events: Event, reason: str = "quit", side: Side = Side.SERVER) -> ReadableSpan:
    """The span of a session with *events*."""
    session = opened(recorder, side)
    for event in events:
        session.record(event)
    session.end(reason)
    return recorder.sessions[-1]


def opened(recorder: Recorder, side: Side = Side.SERVER) -> Session:
    scope = Scope("tests")
    scope.bind(tracer_provider=recorder.tracer_provider, logger_provider=recorder.logger_provider)
    if side is Side.SERVER:
        session = open_session(scope, "SMTP", peer=Address("192.0.2.7", 4711))
    else:
        session = open_session(scope, "SMTP", side=side, server=Address("mx.test", 25))
    assert session is not None
    return session


def drawing(span: ReadableSpan, columns: int | None = None, encoding: str = "utf-8") -> str:
    if columns is not None:
        os.environ["COLUMNS"] = str(columns)
    raw = io.BytesIO()
    out = io.TextIOWrapper(raw, encoding=encoding, errors="strict")
    TreeSink(out).export([span])
    os.environ.pop("COLUMNS", None)
    return raw.getvalue().decode(encoding)


def command(name: str, code: int | None = 250, transaction: int | None = None, **more) -> Command:
    status = f"{code // 100}xx" if code else "none"
    return Command(command=name, sequence=1, reply_code=code, reply_status=status, transaction=transaction, **more)


def received(number: int, *recipients: str, size: int = 312, code: int = 250) -> MailReception:
    return MailReception(
        spool_id="x",
        sender="ann@sender.test",
        recipients=recipients,
        recipient_count=len(recipients),
        size=size,
        reception_protocol="ESMTP",
        response_command=".",
        reply_code=code,
        reply_status="2xx",
        transaction=number,
        sequence=1,
    )


def rejected(
    number: int | None, stage: str | None, recipient: str | None = None, code: int = 550
) -> MailRejection:
    return MailRejection(
        sender="ann@sender.test",
        recipient=recipient,
        reception_protocol="ESMTP",
        response_command=stage,
        reply_code=code,
        reply_status="5xx",
        reply_enhanced_status="5.1.1",
        transaction=number,
        sequence=1,
    )


def test_the_head_says_what_it_was_how_it_went_and_who(recorder):
    span = span_of(
        recorder,
        command("EHLO", peer_hostname="laptop.test"),
        AuthSuccess(identity="alice", mechanism="PLAIN"),
    )
    head = drawing(span).splitlines()[0]
    session = str((span.attributes or {})["sessionspan.session.id"])[:8]
    assert head.startswith(f"SMTP session {session}: ok, ")
    assert head.endswith(", alice at 192.0.2.7 (laptop.test)")


def test_a_client_session_says_to_which_server(recorder):
    assert ", to mx.test" in drawing(span_of(recorder, side=Side.CLIENT)).splitlines()[0]


def test_a_mail_transaction_is_one_line(recorder):
    lines = drawing(
        span_of(
            recorder,
            command("MAIL", transaction=1),
            command("RCPT", transaction=1),
            command("RCPT", transaction=1),
            received(1, "bob@here.test", "carol@there.test", size=4711),
            command("DATA", transaction=1),
        )
    ).splitlines()
    assert len(lines) == 4
    assert "mail 1 from sender.test to 2 recipients at here.test, there.test, 4.7 kB: accepted 250" in lines[1]


def test_no_whole_mail_address_is_in_the_tree(recorder):
    span = span_of(
        recorder,
        AuthFailure(mechanism="PLAIN", user_name="bob@here.test", error_type="invalid_credentials"),
        received(1, "bob@here.test"),
        rejected(1, "RCPT", "carol@there.test"),
    )
    assert "bob@" not in drawing(span)
    assert "carol@" not in drawing(span)
    assert "ann@" not in drawing(span)


def test_a_refused_recipient_has_a_line_under_its_mail(recorder):
    drawn = drawing(
        span_of(
            recorder,
            command("MAIL", transaction=1),
            *[rejected(1, "RCPT", f"{name}@nowhere.test") for name in "abc"],
            received(1, "bob@here.test"),
        )
    )
    assert "3 recipients at nowhere.test refused 550 5.1.1" in drawn


@pytest.mark.parametrize(
    ("events", "told"),
    [
        ([command("MAIL", 550, 1), rejected(1, "MAIL")], "refused at MAIL 550 5.1.1"),
        (
            [command("MAIL", transaction=1), rejected(1, ".", "bob@here.test")],
            "refused at the final dot 550 5.1.1",
        ),
        ([command("MAIL", transaction=1), command("RCPT", transaction=1)], "MAIL 250 · RCPT 250, never finished"),
        ([command("MAIL", transaction=1), rejected(1, "RCPT", "x@y.test")], "recipient at y.test refused 550"),
        ([rejected(None, None)], "refused at the greeting 550 5.1.1"),
        ([command("EHLO"), command("NOOP"), command("NOOP")], "EHLO 250 · NOOP 250 x2"),
        ([command("DATA", None)], "DATA (no reply)"),
        ([TLSFailure(mode="starttls", error_type="ssl.SSLError")], "TLS failed: ssl.SSLError"),
        ([SessionException(exception_type="ValueError")], "the application raised ValueError"),
    ],
)
def test_what_happened_is_told(recorder, events, told):
    assert told in drawing(span_of(recorder, *events))


@pytest.mark.parametrize("refused_first", [True, False])
def test_a_message_that_lmtp_refuses_for_one_and_takes_for_another_shows_both(recorder, refused_first):
    answers: list[Event] = [rejected(1, ".", "x@full.test"), received(1, "bob@here.test")]
    if not refused_first:
        answers.reverse()
    drawn = drawing(span_of(recorder, command("MAIL", transaction=1), command("RCPT", transaction=1), *answers))
    assert "mail 1 from sender.test to here.test, 312 B: accepted 250" in drawn
    assert "a recipient at full.test refused 550 5.1.1" in drawn


def test_a_message_that_is_refused_for_all_is_one_line(recorder):
    answers = [rejected(1, ".", f"{name}@full.test") for name in "abc"]
    drawn = drawing(span_of(recorder, command("MAIL", transaction=1), command("RCPT", transaction=1), *answers))
    assert "mail 1 from sender.test: refused at the final dot 550 5.1.1" in drawn
    assert len(drawn.splitlines()) == 4


def test_a_login_and_its_auth_command_are_one_line(recorder):
    drawn = drawing(
        span_of(
            recorder,
            AuthFailure(mechanism="LOGIN", user_name="bob@here.test", error_type="invalid_credentials"),
            command("AUTH", 535, reply_enhanced_status="5.7.8"),
            AuthSuccess(identity="alice", mechanism="PLAIN"),
            command("AUTH", 235),
        )
    )
    assert "login ...@here.test failed: invalid_credentials (LOGIN, 535 5.7.8)" in drawn
    assert "login alice accepted (PLAIN, 235)" in drawn
    assert "AUTH" not in drawn


def test_tls_is_told_though_its_event_repeats_nothing_of_the_span(recorder):
    drawn = drawing(span_of(recorder, TLSEstablished(mode="starttls", protocol_version="1.3", cipher="TLS_X")))
    assert "TLS 1.3 TLS_X (starttls)" in drawn


def many_events() -> list[Event]:
    found: list[Event] = []
    for number in range(1, 200):
        found += [command("MAIL", transaction=number), received(number, "bob@here.test"), command("NOOP")]
    return found


@pytest.mark.parametrize("columns", [40, 80, 200])
def test_a_session_with_hundreds_of_events_takes_at_most_fifteen_lines(recorder, columns):
    drawn = drawing(span_of(recorder, *many_events()), columns)
    lines = drawn.removesuffix("\n").split("\n")
    assert len(lines) <= LINES == 15
    assert lines.pop() == ""
    assert all(len(line) <= columns for line in lines)
    if columns >= 80:
        assert "more lines like these" in drawn
        assert "events more are not on the span" in drawn
        assert "quit · 398 commands · 199 mails" in lines[-1]


def test_many_different_commands_are_folded_into_one_line(recorder):
    words = [command(name) for name in ("EHLO", "VRFY", "NOOP", "HELP") * 20]
    (line,) = drawing(span_of(recorder, *words)).splitlines()[1:-2]
    assert "EHLO 250 · VRFY 250 · NOOP 250 · HELP 250 · EHLO 250 · VRFY 250 · 73 more · HELP 250" in line


def test_many_refused_domains_do_not_make_many_lines(recorder):
    refusals = [rejected(1, "RCPT", f"x@{number}.test") for number in range(50)]
    drawn = drawing(span_of(recorder, command("MAIL", transaction=1), *refusals))
    assert "47 recipients refused 550 5.1.1" in drawn
    assert len(drawn.splitlines()) == 3 + 1 + 4


EVIL = "a\x1b[31m\r\n\x07\u202eb\u2066\x9bc\u2028"


def test_control_characters_of_the_peer_do_not_reach_the_terminal(recorder):
    span = span_of(
        recorder,
        command("EHLO", peer_hostname=EVIL),
        AuthSuccess(identity=EVIL, mechanism=EVIL),
        TLSEstablished(mode="starttls", client_subject=EVIL, protocol_version=EVIL),
        received(1, f"x@{EVIL}"),
        rejected(2, "RCPT", f"x@{EVIL}"),
    )
    # Not all spans come from our own gate: a span of another process may have anything in it.
    evil = ReadableSpan(
        name=EVIL,
        attributes={**(span.attributes or {}), "client.address": EVIL, "sessionspan.outcome": EVIL},
        events=span.events,
        start_time=span.start_time,
        end_time=span.end_time,
    )
    drawn = drawing(evil)
    assert all(character.isprintable() for line in drawn.split("\n") for character in line)
    assert "\\x1b[31m\\r\\n\\x07\\u202eb" in drawn


def test_markup_and_emoji_names_of_the_peer_stay_as_they_are(recorder):
    assert "(:smile:[bold]x[/bold])" in drawing(
        span_of(recorder, command("EHLO", peer_hostname=":smile:[bold]x[/bold]"))
    )


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp437"])
def test_a_stream_that_is_not_unicode_gets_a_tree_of_ascii(recorder, encoding):
    drawn = drawing(span_of(recorder, command("EHLO", peer_hostname="bücher.test"), command("NOOP")), 80, encoding)
    assert "+-- " in drawn
    assert "EHLO 250, NOOP 250" in drawn


def test_spans_that_are_no_sessions_are_not_drawn(recorder):
    with recorder.tracer_provider.get_tracer("other").start_as_current_span("GET /"):
        pass
    out = io.StringIO()
    TreeSink(out).export(recorder.spans)
    assert out.getvalue() == ""


def test_a_span_without_events_is_drawn_from_its_attributes(recorder):
    span = span_of(recorder, command("EHLO"))
    bare = ReadableSpan(
        name=span.name, attributes=span.attributes, start_time=span.start_time, end_time=span.end_time
    )
    assert "quit · 1 command" in drawing(bare)


def test_a_closed_stream_and_a_broken_pipe_do_not_raise(recorder):
    span = span_of(recorder)
    closed = io.StringIO()
    closed.close()
    assert TreeSink(closed).export([span]).name == "FAILURE"
    reading, writing = os.pipe()
    os.close(reading)
    with pytest.raises(BrokenPipeError), open(writing, "w") as pipe:
        assert TreeSink(pipe).export([span]).name == "FAILURE"


@pytest.fixture
def terminal() -> Iterator[tuple[int, io.TextIOWrapper]]:
    ours, theirs = pty.openpty()
    with open(theirs, "w", encoding="utf-8") as stream:
        yield ours, stream
    os.close(ours)


def test_a_terminal_gets_colour(recorder, terminal, monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    ours, stream = terminal
    TreeSink(stream).export([span_of(recorder)])
    assert b"\x1b[" in os.read(ours, 65536)


def test_a_terminal_gets_no_colour_with_no_color(recorder, terminal, monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("NO_COLOR", "1")
    ours, stream = terminal
    TreeSink(stream).export([span_of(recorder)])
    assert b"\x1b" not in os.read(ours, 65536)


def test_a_pipe_gets_colour_only_with_force_color(recorder, monkeypatch):
    span = span_of(recorder)
    assert "\x1b" not in drawing(span)
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert "\x1b[" in drawing(span)
