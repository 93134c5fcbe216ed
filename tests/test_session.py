"""Session: its public API, and the gate."""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import os
import sys
import threading
import uuid
import weakref
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
from opentelemetry.sdk.trace import SpanLimits, TracerProvider
from opentelemetry.trace import StatusCode

import sessionspan
from sessionspan import current_session, live, own, session, settings
from sessionspan.addresses import Address, address_of
from sessionspan.events import AuthFailure, AuthSuccess, Command, Event, MailRejection, catalogue
from sessionspan.protocols import Observer
from sessionspan.protocols.ftp import FTPObserver
from sessionspan.protocols.imap import IMAPObserver
from sessionspan.protocols.managesieve import ManageSieveObserver
from sessionspan.protocols.pop3 import POP3Observer
from sessionspan.protocols.smtp import SMTPObserver
from sessionspan.scope import Scope
from sessionspan.session import Session, Side
from sessionspan.taps import Wire
from sessionspan.testing import Recorder

pytestmark = pytest.mark.usefixtures("recorded")


PEER = ("192.0.2.7", 40000)


def test_the_front_door_has_seven_names() -> None:
    assert sessionspan.__all__ == [
        "Session",
        "capture",
        "current_session",
        "handler_session",
        "operation",
        "session",
        "stream_session",
    ]


def test_a_session_is_open_and_current_within_its_block(recorder: Recorder) -> None:
    assert current_session() is None
    with session("SMTP", peer=PEER) as s:
        assert current_session() is s
        assert s.client_ip == "192.0.2.7"
        assert s.protocol == "SMTP"
        assert uuid.UUID(s.id).version == 4
        assert not s.ended
    assert current_session() is None
    assert s.ended
    span = recorder.wait_for_session()
    assert (span.attributes or {})["sessionspan.end_reason"] == "local_close"
    assert recorder.transcript() == ["session.start", "session.end"]


def test_a_session_works_with_async_with(recorder: Recorder) -> None:
    async def main() -> None:
        async with session("IMAP", peer="192.0.2.7") as s:
            assert await asyncio.create_task(seen()) is s

    async def seen() -> Session | None:
        return current_session()

    asyncio.run(main())
    attributes = recorder.wait_for_session().attributes or {}
    assert attributes["client.address"] == "192.0.2.7"
    assert "client.port" not in attributes


def test_the_user_is_on_later_events_and_on_the_span(recorder: Recorder) -> None:
    with session("POP3", peer=PEER) as s:
        s.record(Command(command="NOOP", sequence=1))
        s.set_username("alice@example.com")
        assert s.username == "alice@example.com"
        s.record(Command(command="NOOP", sequence=2))
    users = [event.attributes.get("user.name") for event in recorder.named("command")]
    assert users == [None, "alice@example.com"]
    assert (recorder.wait_for_session().attributes or {})["username"] == "alice@example.com"


def test_two_logins_are_told_apart(recorder: Recorder) -> None:
    with session("IMAP", peer=PEER) as s:
        s.record(AuthSuccess(identity="alice", mechanism="PLAIN"))
        s.record(AuthSuccess(identity="bob", mechanism="PLAIN"))
    assert [(e.name, e.attributes.get("user.name"), e["sessionspan.auth.sequence"]) for e in recorder.events] == [
        ("session.start", None, 0),
        ("auth.success", "alice", 1),
        ("auth.end", "alice", 1),
        ("auth.success", "bob", 2),
        ("auth.end", "bob", 2),
        ("session.end", "bob", 2),
    ]
    span = recorder.wait_for_session()
    assert (span.attributes or {})["sessionspan.auth.user.count"] == 2
    assert [dict(e.attributes or {}).get("user.name") for e in span.events][1] == "alice"


def test_lines_of_the_application_go_to_stdlib_logging_with_the_session(
    recorder: Recorder, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG, "sessionspan.app"), session("SMTP", peer=PEER) as s:
        s.info("Processing command", command="RCPT TO")
        s.debug("State transition", name="reserved", **{"from": "MAIL"})
        s.warning("Rate limit approaching", remaining=5)
        s.set_username("alice")
        s.error("Command failed", error="invalid recipient", username="override")
    first, second, third, fourth = caplog.records
    assert [r.levelname for r in caplog.records] == ["INFO", "DEBUG", "WARNING", "ERROR"]
    assert vars(first)["session_id"] == s.id
    assert vars(first)["client_ip"] == "192.0.2.7"
    assert vars(first)["protocol"] == "SMTP"
    assert vars(first)["command"] == "RCPT TO"
    assert "username" not in vars(first)
    assert vars(second)["name_"] == "reserved"
    assert vars(third)["remaining"] == 5
    assert vars(fourth)["username"] == "override"
    assert first.filename == "test_session.py"
    # Never a second time as an event.
    assert recorder.transcript() == ["session.start", "auth.end alice", "session.end"]


def test_the_level_of_the_logger_is_respected(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "sessionspan.app"), session("SMTP", peer=PEER) as s:
        s.info("too quiet")
        s.warning("loud enough")
    assert [record.getMessage() for record in caplog.records] == ["loud enough"]


def test_the_json_form_has_the_plain_names() -> None:
    with session("IMAP", peer=PEER) as s:
        s.set_username("bob")
        found = json.loads(s.to_json())
        assert s.header_value() == s.id
    assert found.pop("timestamp").endswith("Z")
    assert found == {"session_id": s.id, "client_ip": "192.0.2.7", "protocol": "IMAP", "username": "bob"}


def test_an_exception_that_leaves_the_block_is_recorded_and_goes_on(recorder: Recorder) -> None:
    with pytest.raises(ZeroDivisionError), session("SMTP", peer=PEER):
        1 / 0  # noqa: B018
    span = recorder.wait_for_session()
    attributes = span.attributes or {}
    assert (attributes["sessionspan.outcome"], attributes["sessionspan.end_reason"]) == ("error", "handler_error")
    assert span.status.status_code is StatusCode.ERROR
    assert recorder.named("session.exception")[0]["exception.type"] == "ZeroDivisionError"


def test_a_client_side_session_is_a_child_and_its_client_is_here(recorder: Recorder) -> None:
    tracer = recorder.tracer_provider.get_tracer("app")
    with tracer.start_as_current_span("job") as job:
        with session("SMTP", side="client", peer=("192.0.2.25", 25), local=("198.51.100.1", 5555)) as s:
            assert s.side is Side.CLIENT
    span = recorder.wait_for_session()
    assert span.parent is not None
    assert span.parent.span_id == job.get_span_context().span_id
    attributes = span.attributes or {}
    assert span.kind.name == "CLIENT"
    assert attributes["client.address"] == "198.51.100.1"
    assert attributes["network.peer.address"] == "192.0.2.25"


def test_a_session_ends_once_and_records_nothing_afterwards(recorder: Recorder) -> None:
    with session("SMTP", peer=PEER) as s:
        s.end("quit")
        s.end("timeout")
        s.record(Command(command="NOOP", sequence=1))
    assert recorder.transcript() == ["session.start", "session.end"]
    assert len(recorder.sessions) == 1
    assert (recorder.sessions[0].attributes or {})["sessionspan.end_reason"] == "quit"


def test_two_threads_that_end_a_session_end_it_once(recorder: Recorder) -> None:
    for _ in range(50):
        with session("SMTP", peer=PEER) as s:
            gate = threading.Barrier(4)

            def end(s: Session = s, gate: threading.Barrier = gate) -> None:
                gate.wait()
                s.end("quit")

            threads = [threading.Thread(target=end) for _ in range(4)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
    assert len(recorder.sessions) == 50
    assert len(recorder.named("session.end")) == 50


def speak(scope: Scope, observer: Observer) -> weakref.ref[Session]:
    """Have a session of a few lines that *observer* watches."""
    spoken = Session(scope, "SMTP")
    spoken.start()
    wire = Wire(spoken, observer)
    wire.server(b"220 hello\r\n* OK hello\r\n+OK hello\r\n")
    wire.client(b"QUIT\r\n")
    wire.server(b"221 bye\r\n")
    spoken.end()
    return weakref.ref(spoken)


@pytest.mark.parametrize(
    "observer",
    [FTPObserver, IMAPObserver, ManageSieveObserver, POP3Observer, SMTPObserver],
    ids=lambda observer: observer.__name__,
)
def test_an_ended_session_waits_for_no_garbage_collector(
    recorder: Recorder, observer: Callable[[], Observer]
) -> None:
    scope = Scope("test")
    scope.bind(recorder.tracer_provider, recorder.logger_provider)
    gc.collect()
    gc.disable()
    try:
        assert speak(scope, observer())() is None
    finally:
        gc.enable()


def test_a_session_that_nobody_holds_ends_as_garbage_collected(recorder: Recorder) -> None:
    scope = Scope("test")
    scope.bind(recorder.tracer_provider, recorder.logger_provider)
    dropped = Session(scope, "SMTP")
    dropped.start()
    del dropped
    gc.collect()
    live.end_orphans()
    assert (recorder.wait_for_session().attributes or {})["sessionspan.end_reason"] == "garbage_collected"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork(), which this system has not")
def test_a_forked_child_owns_nothing_of_its_parents(recorder: Recorder) -> None:
    with session("SMTP", peer=PEER) as s:
        child = os.fork()
        if child == 0:
            silent = current_session() is None and s.ended and not live.open_sessions()
            os._exit(0 if silent and not recorder.sessions else 1)
        _, status = os.waitpid(child, 0)
        assert os.waitstatus_to_exitcode(status) == 0
        assert not s.ended
    assert len(recorder.sessions) == 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork(), which this system has not")
def test_a_fork_while_another_thread_ends_a_session_hangs_nobody() -> None:
    module = sys.modules["sessionspan.session"]  # the attribute of that name is the class `session`
    held, done = threading.Event(), threading.Event()

    def hold() -> None:
        with module._changing:
            held.set()
            done.wait()

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait()
    child = os.fork()
    if child == 0:
        with session("SMTP", peer=PEER):
            pass
        os._exit(0)
    _, status = os.waitpid(child, 0)
    done.set()
    thread.join()
    assert os.waitstatus_to_exitcode(status) == 0


# The gate.


def test_identity_cannot_be_spoofed_by_what_a_peer_says(recorder: Recorder) -> None:
    with session("SMTP", peer=PEER) as s:
        s.record(AuthFailure(mechanism="PLAIN", user_name="session_id=1\r\nclient.address=127.0.0.1"))
    (failure,) = recorder.named("auth.failure")
    assert failure["client.address"] == "192.0.2.7"
    assert failure["sessionspan.auth.user.name"] == "session_id=1\\r\\nclient.address=127.0.0.1"
    assert "\n" not in failure.body


def test_text_is_cut_at_the_gate(recorder: Recorder) -> None:
    with session("SMTP", peer=PEER) as s:
        s.record(MailRejection(sender="é" * 50_000 + "@x", reply_code=550, reply_status="5xx"))
    (rejection,) = recorder.named("mail.rejection")
    assert len(rejection["sessionspan.mail.sender"].encode()) <= 16 * 1024
    assert len(rejection.body) <= 200


@pytest.mark.parametrize(
    ("events", "logs", "span"), [("logs", True, False), ("span", False, True), ("both", True, True)]
)
def test_events_go_where_the_setting_says(
    recorder: Recorder, monkeypatch: pytest.MonkeyPatch, events: str, logs: bool, span: bool
) -> None:
    monkeypatch.setenv("SESSIONSPAN_EVENTS", events)
    settings.reload()
    with session("SMTP", peer=PEER) as s:
        s.record(Command(command="NOOP", sequence=1))
    assert bool(recorder.events) is logs
    assert bool(recorder.wait_for_session().events) is span


@pytest.mark.parametrize("limit", [0, 1, 7, 40, 128, 1000])
def test_the_first_and_last_events_fit_the_spans_limit(recorder: Recorder, limit: int) -> None:
    provider = TracerProvider(span_limits=SpanLimits(max_events=limit), shutdown_on_exit=False)
    provider.add_span_processor(recorder)
    own.SCOPE.bind(provider, recorder.logger_provider)
    with session("SMTP", peer=PEER) as s:
        for number in range(300):
            s.record(Command(command="NOOP", sequence=number))
    span = recorder.wait_for_session()
    expected = min(limit, 122)
    assert len(span.events) == expected
    assert span.dropped_events == 0
    assert (span.attributes or {})["sessionspan.event.unspanned.count"] == 302 - expected
    if limit > 1:
        assert span.events[0].name == "sessionspan.session.start"
        assert span.events[-1].name == "sessionspan.session.end"


def test_without_a_logger_provider_the_events_are_on_the_span(recorder: Recorder) -> None:
    from opentelemetry._logs import NoOpLoggerProvider

    own.SCOPE.bind(recorder.tracer_provider, NoOpLoggerProvider())
    with session("SMTP", peer=PEER) as s:
        s.record(Command(command="NOOP", sequence=1))
    assert [event.name for event in recorder.wait_for_session().events] == [
        "sessionspan.session.start",
        "sessionspan.command",
        "sessionspan.session.end",
    ]


def test_without_a_tracer_provider_the_events_are_log_records(recorder: Recorder) -> None:
    from opentelemetry.trace import NoOpTracerProvider

    own.SCOPE.bind(NoOpTracerProvider(), recorder.logger_provider)
    with session("SMTP", peer=PEER) as s:
        s.record(Command(command="NOOP", sequence=1))
    assert recorder.transcript() == ["session.start", "command NOOP", "session.end"]


def test_without_any_provider_a_session_still_knows_who_it_is() -> None:
    own.SCOPE.bind()
    with session("SMTP", peer=PEER) as s:
        assert not s.listened_to
        assert current_session() is s
        assert s.client_ip == "192.0.2.7"


def test_a_quota_of_commands_leaves_room_for_the_vital_events(
    recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SESSIONSPAN_MAX_EVENTS", "0")
    settings.reload()
    with session("SMTP", peer=PEER) as s:
        s.record(Command(command="NOOP", sequence=1))
        s.record(AuthFailure(mechanism="PLAIN"))
    assert recorder.transcript() == ["session.start", "auth.failure _OTHER", "session.end"]
    assert (recorder.wait_for_session().attributes or {})["sessionspan.event.dropped.count"] == 1


# The catalogue.


def wire_names() -> list[str]:
    from sessionspan import names
    from sessionspan.events import attributes_of

    keys = {a.key for event in catalogue() for a in attributes_of(event) if a.key}
    keys |= {
        value
        for name, value in vars(names).items()
        if name.isupper() and name not in ("SCHEMA_URL", "PLAIN_TWINS")
    }
    return sorted(keys)


def test_no_two_names_on_the_wire_are_one_in_loki() -> None:
    flat = [name.replace(".", "_") for name in wire_names()]
    twins = {"session_id", "client_ip", "protocol", "username"}
    assert len(set(flat)) == len(flat)
    assert twins <= set(flat)
    events = [event.name for event in catalogue()]
    assert len({name.replace(".", "_") for name in events}) == len(events)


def test_every_name_is_ours_or_opentelemetrys() -> None:
    from opentelemetry.semconv import attributes as stable
    from opentelemetry.semconv._incubating import attributes as incubating

    known: set[str] = set()
    for package in (stable, incubating):
        import importlib
        import pkgutil

        for module in pkgutil.iter_modules(package.__path__):
            found = importlib.import_module(f"{package.__name__}.{module.name}")
            known |= {value for value in vars(found).values() if isinstance(value, str)}
    twins = {"session_id", "client_ip", "protocol", "username"}
    for name in wire_names():
        assert name.startswith("sessionspan.") or name in twins or name in known, name
    assert all(event.name.startswith("sessionspan.") for event in catalogue())
    assert not {"session.id", "session.start", "session.end"} & set(wire_names())


@pytest.mark.parametrize("event", catalogue(), ids=lambda event: event.name)
def test_every_event_says_what_it_is(event: type[Event]) -> None:
    assert event.__doc__
    assert not event.__doc__.startswith(event.__name__ + "(")


class Endpoint(NamedTuple):
    host: str
    port: int


@pytest.mark.parametrize("peer", [("192.0.2.7", 4000), Endpoint("192.0.2.7", 4000), ("192.0.2.7", 4000, 0, 0)])
def test_a_named_tuple_is_an_address_as_a_plain_one(peer: tuple[Any, ...]) -> None:
    assert address_of(peer) == Address("192.0.2.7", 4000)
