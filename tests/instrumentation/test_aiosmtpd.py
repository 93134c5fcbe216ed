"""aiosmtpd, really serving, and what its sessions say."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import logging
import smtplib
import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller, UnixSocketController
from aiosmtpd.lmtp import LMTP
from aiosmtpd.smtp import SMTP, AuthResult
from opentelemetry import trace
from opentelemetry.context import attach
from opentelemetry.instrumentation.logging.handler import LoggingHandler
from opentelemetry.instrumentation.utils import suppress_instrumentation
from opentelemetry.trace import SpanKind, StatusCode

from sessionspan import current_session, settings
from sessionspan.guard import guard
from sessionspan.testing import Recorder
from sessionspan_aiosmtpd import AiosmtpdInstrumentor
from tests.instrumentation.kit_aiosmtpd import (
    AUTHORITY,
    Client,
    Handler,
    Server,
    client_context,
    server_context,
    serving,
)

MESSAGE = b"Subject: hi\r\n\r\n..a dot\r\n.\r\n"
SIZE = len(b"Subject: hi\r\n\r\n.a dot\r\n")
ALICE = base64.b64encode(b"\0alice\0secret")


@pytest.fixture(autouse=True)
def instrumented(recorder: Recorder) -> Iterator[None]:
    before = guard.failures
    AiosmtpdInstrumentor().instrument(
        tracer_provider=recorder.tracer_provider,
        logger_provider=recorder.logger_provider,
        meter_provider=recorder.meter_provider,
    )
    yield
    AiosmtpdInstrumentor().uninstrument()
    assert guard.failures == before


def check_secret(server: Any, session: Any, envelope: Any, mechanism: str, data: Any) -> AuthResult:
    return AuthResult(success=data.password == b"secret", handled=False, auth_data=data)


AUTH: dict[str, Any] = {"auth_require_tls": False, "authenticator": check_secret}


def send_mail(client: Client, *recipients: bytes, sender: bytes = b"a@x.org", data: bytes = MESSAGE) -> bytes:
    client.command(b"MAIL FROM:<%s>" % sender)
    for recipient in recipients or (b"b@y.org",):
        client.command(b"RCPT TO:<%s>" % recipient)
    client.command(b"DATA")
    client.send(data)
    return client.read_reply()


# One session, told.


def test_a_session_is_one_root_server_span_with_an_event_per_step(recorder: Recorder) -> None:
    with serving(**AUTH) as server:
        client = server.connect()
        client.read_reply()
        client.command(b"EHLO client.example")
        client.command(b"AUTH PLAIN " + ALICE)
        send_mail(client, b"b@y.org", b"nobody@y.org")
        client.command(b"QUIT")
        session = recorder.wait_for_session()
    assert recorder.transcript() == [
        "session.start",
        "command EHLO 250",
        "auth.success alice",
        "command AUTH 235",
        "command MAIL 250",
        "command RCPT 250",
        "mail.rejection RCPT 550",
        "command RCPT 550",
        "mail.reception b@y.org",
        "command DATA 250",
        "command QUIT 221",
        "auth.end alice",
        "session.end",
    ]
    assert session.name == "SMTP session"
    assert session.kind is SpanKind.SERVER
    assert session.parent is None
    assert session.status.status_code is StatusCode.UNSET
    assert session.instrumentation_scope is not None
    assert session.instrumentation_scope.name == "sessionspan_aiosmtpd"
    attributes = dict(session.attributes or {})
    assert attributes.pop("sessionspan.session.duration", 0) > 0  # type: ignore[operator]
    assert attributes["session_id"] == attributes["sessionspan.session.id"]
    host, port = client.address
    assert attributes | {"session_id": "", "sessionspan.session.id": ""} == {
        "session_id": "",
        "sessionspan.session.id": "",
        "sessionspan.side": "server",
        "network.protocol.name": "smtp",
        "network.transport": "tcp",
        "client.address": host,
        "client.port": port,
        "network.peer.address": host,
        "network.peer.port": port,
        "network.local.address": server.host,
        "network.local.port": server.port,
        "user.name": "alice",
        "client_ip": host,
        "protocol": "SMTP",
        "username": "alice",
        "sessionspan.peer.hostname": "client.example",
        "sessionspan.tls.mode": "none",
        "sessionspan.outcome": "ok",
        "sessionspan.end_reason": "quit",
        "sessionspan.command.count": 7,
        "sessionspan.command.failed.count": 1,
        "sessionspan.auth.attempt.count": 1,
        "sessionspan.auth.user.count": 1,
        "sessionspan.received.size": attributes["sessionspan.received.size"],
        "sessionspan.sent.size": attributes["sessionspan.sent.size"],
        "sessionspan.mail.accepted.count": 1,
        "sessionspan.mail.rejected.count": 1,
        "sessionspan.event.count": 13,
        "sessionspan.event.dropped.count": 0,
        "sessionspan.event.unspanned.count": 0,
    }


def test_every_event_carries_the_identity_and_the_trace(recorder: Recorder) -> None:
    with serving(**AUTH) as server:
        client = server.connect()
        client.read_reply()
        client.command(b"EHLO client.example")
        client.command(b"AUTH PLAIN " + ALICE)
        client.command(b"QUIT")
        session = recorder.wait_for_session()
    assert session.context is not None
    for event in recorder.events:
        assert event["sessionspan.session.id"] == (session.attributes or {})["session_id"]
        assert event["client.address"] == "127.0.0.1"
        assert event["network.protocol.name"] == "smtp"
        assert event["sessionspan.side"] == "server"
        assert int(event.trace_id, 16) == session.context.trace_id
        assert int(event.span_id, 16) == session.context.span_id
        assert event.timestamp > 0
        assert 0 < len(event.body) <= 200
        assert not {"session_id", "client_ip", "protocol", "username"} & set(event.attributes)
    users = [
        (event.name, event.attributes.get("user.name"), event["sessionspan.auth.sequence"])
        for event in recorder.events
    ]
    assert users == [
        ("session.start", None, 0),
        ("command", None, 0),
        ("auth.success", "alice", 1),
        ("command", "alice", 1),
        ("command", "alice", 1),
        ("auth.end", "alice", 1),
        ("session.end", "alice", 1),
    ]


def test_the_end_repeats_all_that_the_span_says(recorder: Recorder) -> None:
    with serving() as server:
        client = server.connect()
        client.read_reply()
        client.command(b"QUIT")
        session = recorder.wait_for_session()
    end = recorder.named("session.end")[0]
    plain = {"session_id", "client_ip", "protocol", "username"}
    assert {key: end[key] for key in (session.attributes or {}) if key not in plain} == {
        key: value for key, value in (session.attributes or {}).items() if key not in plain
    }


def test_the_events_are_on_the_span_with_domains_only(recorder: Recorder) -> None:
    with serving() as server:
        client = server.connect()
        client.read_reply()
        client.command(b"EHLO client.example")
        send_mail(client, b"b@y.org", b"nobody@z.org")
        client.command(b"QUIT")
        session = recorder.wait_for_session()
    assert [event.name for event in session.events] == ["sessionspan." + event.name for event in recorder.events]
    by_name = {event.name.removeprefix("sessionspan."): dict(event.attributes or {}) for event in session.events}
    assert by_name["mail.reception"]["sessionspan.mail.sender"] == "x.org"
    assert by_name["mail.reception"]["sessionspan.mail.recipients"] == ("y.org",)
    assert by_name["mail.rejection"]["sessionspan.mail.recipient"] == "z.org"
    assert "nobody" not in repr(session.events[0:] and [dict(e.attributes or {}) for e in session.events])
    assert by_name["session.end"] == {"sessionspan.auth.sequence": 0}


def test_a_message_is_received_with_the_fields_of_the_mail_record(recorder: Recorder) -> None:
    with serving() as server:
        client = server.connect()
        client.read_reply()
        client.command(b"EHLO client.example")
        send_mail(client, b"b@y.org", b"c@y.org")
        client.command(b"QUIT")
        recorder.wait_for_session()
    (reception,) = recorder.named("mail.reception")
    assert len(reception["sessionspan.mail.spool.id"]) == 32
    found = {
        k: v for k, v in reception.attributes.items() if k.startswith(("sessionspan.mail", "sessionspan.reply"))
    }
    del found["sessionspan.mail.spool.id"]
    assert found == {
        "sessionspan.mail.sender": "a@x.org",
        "sessionspan.mail.recipients": ("b@y.org", "c@y.org"),
        "sessionspan.mail.recipient.count": 2,
        "sessionspan.mail.message.size": SIZE,
        "sessionspan.mail.reception.protocol": "ESMTP",
        "sessionspan.mail.response.command": ".",
        "sessionspan.mail.transaction.sequence": 1,
        "sessionspan.reply.code": 250,
        "sessionspan.reply.status": "2xx",
        "sessionspan.reply.enhanced_status": "2.0.0",
        "sessionspan.reply.text": "2.0.0 queued",
    }
    assert reception["sessionspan.peer.hostname"] == "client.example"


def test_what_a_handler_does_nests_under_the_session(recorder: Recorder) -> None:
    tracer = recorder.tracer_provider.get_tracer("application")
    seen: list[Any] = []

    class Nesting(Handler):
        async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
            seen.append(current_session())
            with tracer.start_as_current_span("store"):
                await asyncio.to_thread(lambda: seen.append(current_session()))
            return "250 ok"

    with serving(Nesting()) as server:
        client = server.connect()
        client.read_reply()
        client.command(b"EHLO x")
        send_mail(client)
        client.command(b"QUIT")
        session = recorder.wait_for_session()
    (store,) = [span for span in recorder.spans if span.name == "store"]
    assert store.parent is not None
    assert session.context is not None
    assert store.parent.span_id == session.context.span_id
    assert [s.id for s in seen] == [(session.attributes or {})["session_id"]] * 2


def test_a_span_around_the_start_of_the_server_is_no_parent(recorder: Recorder) -> None:
    tracer = recorder.tracer_provider.get_tracer("application")

    def start_up() -> None:
        attach(trace.set_span_in_context(tracer.start_span("startup")))

    with serving(run_in_loop=start_up) as server:
        client = server.connect()
        client.read_reply()
        client.command(b"QUIT")
        session = recorder.wait_for_session()
    assert session.parent is None


# How it ends.


def ended(recorder: Recorder) -> tuple[Any, Any]:
    attributes = recorder.wait_for_session().attributes or {}
    return attributes["sessionspan.outcome"], attributes["sessionspan.end_reason"]


def test_a_client_that_goes_without_quit_is_peer_eof(recorder: Recorder) -> None:
    with serving() as server:
        client = server.connect()
        client.read_reply()
        client.command(b"EHLO x")
        client.close()
        assert ended(recorder) == ("ok", "peer_eof")


def test_a_client_that_goes_within_its_message_has_aborted(recorder: Recorder) -> None:
    with serving() as server:
        client = server.connect()
        client.read_reply()
        client.command(b"EHLO x")
        client.command(b"MAIL FROM:<a@x>")
        client.command(b"RCPT TO:<b@y>")
        client.command(b"DATA")
        client.send(b"half a li")
        client.close()
        assert ended(recorder) == ("aborted", "peer_eof")
    assert not recorder.named("mail.reception")
    assert recorder.named("command")[-1]["sessionspan.reply.status"] == "none"


def test_a_reset_is_peer_reset(recorder: Recorder) -> None:
    with serving() as server:
        client = server.connect()
        client.read_reply()
        client.command(b"EHLO x")
        client.reset()
        assert ended(recorder) == ("ok", "peer_reset")


def test_a_reset_within_the_message_has_aborted(recorder: Recorder) -> None:
    with serving() as server:
        client = server.connect()
        client.read_reply()
        client.command(b"HELO x")
        client.command(b"MAIL FROM:<a@x>")
        client.command(b"RCPT TO:<b@y>")
        client.command(b"DATA")
        client.reset()
        assert ended(recorder) == ("aborted", "peer_reset")


def test_a_timeout_is_a_timeout(recorder: Recorder) -> None:
    with serving(timeout=0.2) as server:
        client = server.connect()
        client.read_reply()
        assert ended(recorder) == ("ok", "timeout")


def test_a_stopped_server_is_shutdown(recorder: Recorder) -> None:
    with serving() as server:
        client = server.connect()
        client.read_reply()
    assert ended(recorder) == ("ok", "shutdown")
    client.close()


def test_too_many_commands_are_a_limit(recorder: Recorder) -> None:
    with serving(command_call_limit=1) as server:
        client = server.connect()
        client.read_reply()
        client.command(b"NOOP")
        assert client.command(b"NOOP").startswith(b"421")
        assert ended(recorder) == ("ok", "limit")


def test_too_many_unknown_commands_are_a_limit(recorder: Recorder) -> None:
    with serving() as server:
        client = server.connect()
        client.read_reply()
        for _ in range(5):
            client.command(b"GET / HTTP/1.1")
        assert ended(recorder) == ("ok", "limit")
    assert {event["sessionspan.command.name"] for event in recorder.named("command")} == {"_OTHER"}


def test_a_session_whose_logins_all_failed_is_auth_failed(recorder: Recorder) -> None:
    with serving(**AUTH) as server:
        client = server.connect()
        client.read_reply()
        client.command(b"EHLO x")
        client.command(b"AUTH PLAIN " + base64.b64encode(b"\0alice\0wrong"))
        client.command(b"QUIT")
        assert ended(recorder) == ("auth_failed", "quit")
    (failure,) = recorder.named("auth.failure")
    assert failure["error.type"] == "invalid_credentials"
    assert failure["sessionspan.auth.mechanism"] == "PLAIN"
    assert failure["sessionspan.auth.user.name"] == "alice"
    assert "user.name" not in failure.attributes


def test_a_session_whose_mail_was_refused_is_rejected(recorder: Recorder) -> None:
    with serving() as server:
        client = server.connect()
        client.read_reply()
        client.command(b"EHLO x")
        client.command(b"MAIL FROM:<a@x>")
        client.command(b"RCPT TO:<nobody@y>")
        client.command(b"QUIT")
        assert ended(recorder) == ("rejected", "quit")


# Handlers and servers that do it their own way.


def test_a_handler_that_raises_is_an_error_without_its_text(recorder: Recorder) -> None:
    with serving() as server:
        client = server.connect()
        client.read_reply()
        client.command(b"EHLO x")
        assert send_mail(client, data=b"BOOM\r\n.\r\n").startswith(b"500")
        client.command(b"QUIT")
        assert ended(recorder) == ("error", "quit")
    session = recorder.sessions[0]
    assert session.status.status_code is StatusCode.ERROR
    assert "BOOM" not in (session.status.description or "")
    assert (session.attributes or {})["error.type"] == "ValueError"
    assert recorder.named("session.exception")[0]["exception.type"] == "ValueError"
    assert "BOOM" not in recorder.everything()  # nor in the text of the 500 that quotes it
    assert recorder.named("session.end")[0].severity.name == "ERROR"  # type: ignore[union-attr]
    assert recorder.named("mail.rejection")[0]["sessionspan.mail.response.command"] == "."


def test_a_handlers_own_lost_connection_is_not_the_peers(recorder: Recorder) -> None:
    class Backend(Handler):
        async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
            raise ConnectionResetError("the database went away")

    with serving(Backend()) as server:
        client = server.connect()
        client.read_reply()
        client.command(b"EHLO x")
        send_mail(client)
        assert ended(recorder) == ("error", "handler_error")
    assert recorder.named("session.exception")[0]["exception.type"] == "ConnectionResetError"


def test_an_lmtp_server_that_answers_once_has_received_for_all(recorder: Recorder) -> None:
    with serving(Handler(), protocol=LMTP) as server:
        client = server.connect()
        client.read_reply()
        client.command(b"LHLO x")
        assert send_mail(client, b"b@y", b"c@y").startswith(b"250")
        client.close()
        assert ended(recorder) == ("ok", "peer_eof")
    assert [event["sessionspan.mail.recipients"] for event in recorder.named("mail.reception")] == [
        ("b@y",),
        ("c@y",),
    ]


def test_a_server_that_overrides_commands_without_super_is_told(recorder: Recorder) -> None:
    class Own(SMTP):
        async def smtp_EHLO(self, hostname: str) -> None:
            await self.push("250 own")

        async def smtp_NOOP(self, arg: str) -> None:
            self._writer.write(b"250 written directly\r\n")

        async def smtp_QUIT(self, arg: str) -> None:
            await self.push("221 own")
            assert isinstance(self.transport, asyncio.Transport)
            self.transport.close()

    with serving(protocol=Own) as server:
        client = server.connect()
        client.read_reply()
        client.command(b"EHLO x")
        client.command(b"NOOP")
        client.command(b"QUIT")
        assert ended(recorder) == ("ok", "quit")
    assert recorder.transcript()[1:-1] == ["command EHLO 250", "command NOOP 250", "command QUIT 221"]


def test_a_server_with_bdat_receives_chunks(recorder: Recorder) -> None:
    class Chunking(SMTP):
        async def smtp_BDAT(self, arg: str) -> None:
            size, _, last = arg.partition(" ")
            await self._reader.readexactly(int(size))
            await self.push("250 2.0.0 queued" if last else "250 2.0.0 more")

    with serving(protocol=Chunking) as server:
        client = server.connect()
        client.read_reply()
        client.command(b"EHLO x")
        client.command(b"MAIL FROM:<a@x>")
        client.command(b"RCPT TO:<b@y>")
        client.send(b"BDAT 10\r\nQUIT\r\nNOOP")
        client.read_reply()
        client.send(b"BDAT 2 LAST\r\n\r\n")
        client.read_reply()
        client.command(b"QUIT")
        recorder.wait_for_session()
    assert recorder.named("mail.reception")[0]["sessionspan.mail.message.size"] == 12
    assert recorder.transcript()[-4:-1] == ["mail.reception b@y", "command BDAT 250", "command QUIT 221"]


def test_a_protocol_class_that_serves_by_itself_is_a_session(recorder: Recorder) -> None:
    """Heralding's way: `_handle_client` on a reader and writer of its own, without connection_made."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        smtp = SMTP(Handler(), hostname="mx.example")
        smtp.session, smtp.envelope = smtp._create_session(), smtp._create_envelope()
        smtp.session.peer = writer.get_extra_info("peername")
        smtp._reader, smtp._writer, smtp.transport = reader, writer, writer.transport
        smtp._reset_timeout()
        with contextlib.suppress(AttributeError, asyncio.IncompleteReadError):
            await smtp._handle_client()

    async def main() -> None:
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        async with server:
            client = await asyncio.to_thread(
                lambda: Client(socket.create_connection(server.sockets[0].getsockname()))
            )
            await asyncio.to_thread(client.read_reply)
            assert (await asyncio.to_thread(client.command, b"EHLO x")).startswith(b"250")
            await asyncio.to_thread(client.close)
            await asyncio.to_thread(recorder.wait_for_session)

    asyncio.run(main())
    assert recorder.transcript()[:2] == ["session.start", "command EHLO 250"]


# Logging in.


class OwnMechanism(Handler):
    """A mechanism that proves who somebody is by a line that no observer understands."""

    async def auth_XTOKEN(self, server: Any, args: list[str]) -> AuthResult:
        token = await server.challenge_auth(b"token?")
        if token == b"letmein":
            return AuthResult(success=True, auth_data={"login": "carol", "token": token})
        return AuthResult(success=False, handled=False)


class NamingMechanism(OwnMechanism):
    async def auth_XTOKEN(self, server: Any, args: list[str]) -> AuthResult:
        await server.challenge_auth(b"token?")
        return AuthResult(success=True, auth_data=Named())


class Named:
    login = b"carol"


@pytest.mark.parametrize(("handler", "user"), [(OwnMechanism, None), (NamingMechanism, "carol")])
def test_a_mechanism_of_the_applications_own_names_its_user_if_it_tells_a_login(
    recorder: Recorder, handler: type[Handler], user: str | None
) -> None:
    with serving(handler(), auth_require_tls=False) as server:
        client = server.connect()
        client.read_reply()
        client.command(b"EHLO x")
        client.command(b"AUTH XTOKEN")
        assert client.command(base64.b64encode(b"letmein")).startswith(b"235")
        client.command(b"QUIT")
        session = recorder.wait_for_session()
    (success,) = recorder.named("auth.success")
    assert success.attributes.get("user.name") == user
    assert success["sessionspan.auth.mechanism"] == "_OTHER"
    assert success["sessionspan.auth.sequence"] == 1
    assert "letmein" not in recorder.everything()
    assert (session.attributes or {})["sessionspan.auth.user.count"] == 1


def test_an_authenticator_that_answers_itself_is_one_failure(recorder: Recorder) -> None:
    class Own(Handler):
        async def auth_PLAIN(self, server: Any, args: list[str]) -> AuthResult:
            await server.push("454 4.7.0 try later")
            return AuthResult(success=False, handled=True)

    with serving(Own(), auth_require_tls=False) as server:
        client = server.connect()
        client.read_reply()
        client.command(b"EHLO x")
        assert client.command(b"AUTH PLAIN " + ALICE).startswith(b"454")
        client.command(b"QUIT")
        recorder.wait_for_session()
    assert recorder.named("auth.failure")[0]["error.type"] == "temporary"
    assert recorder.transcript()[1:-1] == [
        "command EHLO 250",
        "auth.failure temporary",
        "command AUTH 454",
        "command QUIT 221",
    ]


def test_an_authenticator_that_never_answers_fails_the_login(recorder: Recorder) -> None:
    def mute(server: Any, session: Any, envelope: Any, mechanism: str, data: Any) -> AuthResult:
        return AuthResult(success=False)  # "handled", but it was not

    with serving(auth_require_tls=False, authenticator=mute) as server:
        client = server.connect()
        client.read_reply()
        client.command(b"EHLO x")
        client.send(b"AUTH PLAIN " + ALICE + b"\r\n")
        client.command(b"NOOP")
        client.command(b"QUIT")
        recorder.wait_for_session()
    assert recorder.transcript()[1:-1] == [
        "command EHLO 250",
        "auth.failure _OTHER",
        "command AUTH",
        "command NOOP 250",
        "command QUIT 221",
    ]


def test_a_client_that_asks_for_another_identity_is_whom_the_server_accepted(recorder: Recorder) -> None:
    with serving(**AUTH) as server:
        client = server.connect()
        client.read_reply()
        client.command(b"EHLO x")
        assert client.command(b"AUTH PLAIN " + base64.b64encode(b"admin\0alice\0secret")).startswith(b"235")
        client.command(b"QUIT")
        session = recorder.wait_for_session()
    assert (session.attributes or {})["user.name"] == "alice"
    assert "admin" not in recorder.everything()


def test_a_client_that_goes_while_it_logs_in_has_not_failed_to(recorder: Recorder) -> None:
    with serving(**AUTH) as server:
        client = server.connect()
        client.read_reply()
        client.command(b"EHLO x")
        client.command(b"AUTH LOGIN")
        client.close()
        assert ended(recorder) == ("aborted", "peer_eof")
    assert recorder.transcript()[1:-1] == ["command EHLO 250", "command AUTH"]


def test_an_endless_response_is_no_failure_of_the_application(recorder: Recorder) -> None:
    with serving(**AUTH) as server:
        client = server.connect()
        client.read_reply()
        client.command(b"EHLO x")
        client.command(b"AUTH LOGIN")
        client.command(b"x" * 5000)
        client.close()
        outcome, _ = ended(recorder)
    assert outcome != "error"


def test_a_flood_of_failed_logins_does_not_hide_the_one_that_succeeds(
    recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sessionspan.tally.VITAL_EVENTS", 20)
    wrong = base64.b64encode(b"\0alice\0wrong")
    with serving(**AUTH) as server:
        client = server.connect()
        client.read_reply()
        client.command(b"EHLO x")
        for _ in range(50):
            client.command(b"AUTH PLAIN " + wrong)
        client.command(b"AUTH PLAIN " + ALICE)
        send_mail(client)
        client.command(b"QUIT")
        session = recorder.wait_for_session()
    assert len(recorder.named("auth.failure")) == 20
    assert len(recorder.named("auth.success")) == len(recorder.named("mail.reception")) == 1
    assert (session.attributes or {})["sessionspan.event.dropped.count"] == 30


def test_auth_over_plaintext_is_told_as_encryption_required(recorder: Recorder) -> None:
    with serving(authenticator=check_secret) as server:
        client = server.connect()
        client.read_reply()
        client.command(b"EHLO x")
        client.command(b"AUTH PLAIN " + ALICE)
        client.command(b"QUIT")
        recorder.wait_for_session()
    assert recorder.named("auth.failure")[0]["error.type"] == "encryption_required"


def test_reading_a_session_warns_of_nothing(recorder: Recorder, caplog: pytest.LogCaptureFixture) -> None:
    """`Session.login_data` logs a deprecation at each access; aiosmtpd itself sets it once per login."""
    with serving(**AUTH) as server:
        client = server.connect()
        client.read_reply()
        client.command(b"EHLO x")
        client.command(b"AUTH PLAIN " + ALICE)
        client.command(b"QUIT")
        recorder.wait_for_session()
    assert sum("login_data is deprecated" in record.getMessage() for record in caplog.records) == 1


# TLS.


def test_starttls_goes_on_in_the_same_session(recorder: Recorder) -> None:
    with serving(tls_context=server_context(), authenticator=check_secret) as server:
        client = server.connect()
        client.read_reply()
        client.command(b"EHLO before")
        client.starttls()
        client.command(b"EHLO after")
        client.command(b"AUTH PLAIN " + ALICE)
        client.command(b"QUIT")
        session = recorder.wait_for_session()
    assert recorder.transcript() == [
        "session.start",
        "command EHLO 250",
        "command STARTTLS 220",
        "tls.established starttls",
        "command EHLO 250",
        "auth.success alice",
        "command AUTH 235",
        "command QUIT 221",
        "auth.end alice",
        "session.end",
    ]
    attributes = session.attributes or {}
    assert attributes["sessionspan.tls.mode"] == "starttls"
    assert attributes["tls.protocol.name"] == "tls"
    assert attributes["tls.protocol.version"] == "1.3"
    assert str(attributes["tls.cipher"]).startswith("TLS_")
    assert attributes["sessionspan.peer.hostname"] == "after"


def test_tls_1_2_ciphers_have_their_iana_name(recorder: Recorder) -> None:
    context = client_context()
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with serving(implicit_tls=True) as server:
        client = server.connect(context)
        client.read_reply()
        client.command(b"QUIT")
        session = recorder.wait_for_session()
    attributes = session.attributes or {}
    assert attributes["sessionspan.tls.mode"] == "implicit"
    assert attributes["tls.protocol.version"] == "1.2"
    assert "_WITH_" in str(attributes["tls.cipher"])


def test_a_client_certificate_is_told_by_its_subject(recorder: Recorder) -> None:
    context = server_context()
    context.verify_mode = ssl.CERT_OPTIONAL
    AUTHORITY.configure_trust(context)
    with serving(tls_context=context) as server:
        client = server.connect()
        client.read_reply()
        client.command(b"EHLO x")
        assert client.command(b"STARTTLS").startswith(b"220")
        ours = client_context()
        AUTHORITY.issue_cert("client@x.org", common_name="the client").configure_cert(ours)
        client.socket = ours.wrap_socket(client.socket, server_hostname="127.0.0.1")
        client._file = client.socket.makefile("rb")
        client.command(b"QUIT")
        session = recorder.wait_for_session()
    assert "CN=the client" in str((session.attributes or {})["tls.client.subject"])
    assert (session.attributes or {})["sessionspan.tls.peer.verified"] is True


def test_a_starttls_handshake_that_fails_is_tls_failed(recorder: Recorder) -> None:
    with serving(tls_context=server_context()) as server:
        client = server.connect()
        client.read_reply()
        client.command(b"EHLO x")
        client.command(b"STARTTLS")
        client.send(b"this is no hello\r\n" * 10)
        _, reason = ended(recorder)
        assert reason == "tls_failed"
        client.close()
    (failure,) = recorder.named("tls.failure")
    assert failure["error.type"] == "ssl.SSLError"
    assert recorder.sessions[0].status.status_code is StatusCode.UNSET


def test_a_tls_client_that_says_goodbye_at_once_is_a_session_that_ends(recorder: Recorder) -> None:
    with serving(implicit_tls=True) as server:
        # The last bytes of the handshake and the goodbye in one segment: the task is cancelled before it runs.
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = client_context().wrap_bio(incoming, outgoing, server_hostname="127.0.0.1")
        raw = socket.create_connection((server.host, server.port), 10)
        while True:
            try:
                tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                raw.sendall(outgoing.read())
                incoming.write(raw.recv(65536))
        with contextlib.suppress(ssl.SSLWantReadError):
            tls.unwrap()
        raw.sendall(outgoing.read())
        session = recorder.wait_for_session()
        raw.close()
    assert (session.attributes or {})["sessionspan.tls.mode"] == "implicit"
    assert recorder.transcript()[-1] == "session.end"


def test_an_implicit_tls_handshake_that_fails_never_reaches_the_library(recorder: Recorder) -> None:
    with serving(implicit_tls=True) as server:
        bad = server.connect()
        bad.send(b"this is no hello\r\n" * 10)
        with contextlib.suppress(OSError):
            bad.read_reply()
        bad.close()
        good = server.connect(client_context())
        good.read_reply()
        good.command(b"QUIT")
        recorder.wait_for_session()
    assert len(recorder.sessions) == 1


# Proxies, unix sockets, probes and health checks.


PROXIED: dict[str, Any] = {"proxy_protocol_timeout": 5}


class Proxied(Handler):
    async def handle_PROXY(self, server: Any, session: Any, envelope: Any, proxy_data: Any) -> bool:
        return True


def v2(command: int, family: int, addresses: bytes) -> bytes:
    """A PROXY protocol version 2 header."""
    return (
        b"\r\n\r\n\0\r\nQUIT\n" + bytes([0x20 | command, family]) + len(addresses).to_bytes(2, "big") + addresses
    )


V4 = socket.inet_aton("198.51.100.7") + socket.inet_aton("192.0.2.1") + b"\x30\x39\x00\x19"
V6 = (
    socket.inet_pton(socket.AF_INET6, "2001:db8::7")
    + socket.inet_pton(socket.AF_INET6, "::1")
    + b"\x30\x39\x00\x19"
)


@pytest.mark.parametrize(
    ("header", "protocol", "client"),
    [
        (b"PROXY TCP4 198.51.100.7 192.0.2.1 12345 25\r\n", "proxy_v1", ("198.51.100.7", 12345)),
        (b"PROXY TCP6 2001:db8::7 ::1 12345 25\r\n", "proxy_v1", ("2001:db8::7", 12345)),
        (b"PROXY UNKNOWN\r\n", "proxy_v1", (None, None)),
        (v2(1, 0x11, V4), "proxy_v2", ("198.51.100.7", 12345)),
        (v2(1, 0x21, V6), "proxy_v2", ("2001:db8::7", 12345)),
    ],
    ids=["v1", "v1-ipv6", "v1-unknown", "v2", "v2-ipv6"],
)
def test_behind_a_proxy_the_client_is_the_real_one(
    recorder: Recorder, header: bytes, protocol: str, client: tuple[str | None, int | None]
) -> None:
    with serving(Proxied(), tls_context=server_context(), **PROXIED) as server:
        connection = server.connect()
        connection.send(header)
        connection.read_reply()
        connection.command(b"EHLO x")
        connection.starttls()  # aiosmtpd forgets the header here (#287)
        connection.command(b"EHLO x")
        connection.command(b"QUIT")
        session = recorder.wait_for_session()
    attributes = session.attributes or {}
    assert (attributes.get("client.address"), attributes.get("client.port")) == client
    assert attributes.get("client_ip") == client[0]
    assert attributes["network.peer.address"] == "127.0.0.1"
    assert attributes["network.peer.port"] == connection.address[1]
    assert attributes["sessionspan.proxy.protocol"] == protocol
    assert attributes["sessionspan.proxy.address"] == "127.0.0.1"
    assert recorder.events[0].name == "session.start"
    assert {event.attributes.get("client.address") for event in recorder.events} == {client[0]}
    assert session.start_time is not None
    assert recorder.events[0].timestamp == session.start_time


def test_a_proxys_own_health_check_is_no_session(recorder: Recorder) -> None:
    with serving(Proxied(), **PROXIED) as server:
        check = server.connect()
        check.send(v2(0, 0x00, b""))
        check.read_reply()
        check.command(b"QUIT")
        connection = server.connect()
        connection.send(b"PROXY TCP4 198.51.100.7 192.0.2.1 12345 25\r\n")
        connection.read_reply()
        connection.command(b"QUIT")
        recorder.wait_for_session()
    assert [(s.attributes or {})["client.address"] for s in recorder.sessions] == ["198.51.100.7"]
    assert len({event.session_id for event in recorder.events}) == 1


def test_a_malformed_proxy_header_is_proxy_invalid(recorder: Recorder) -> None:
    with serving(Proxied(), **PROXIED) as server:
        connection = server.connect()
        connection.send(b"PROXY TCP4 not-an-address 192.0.2.1 12345 25\r\n")
        assert ended(recorder) == ("ok", "proxy_invalid")


def test_a_missing_proxy_header_is_a_timeout(recorder: Recorder) -> None:
    with serving(Proxied(), proxy_protocol_timeout=0.2) as server:
        connection = server.connect()
        assert ended(recorder) == ("ok", "timeout")
        connection.close()
    assert recorder.transcript() == ["session.start", "session.end"]


def test_behind_a_proxy_the_client_is_unknown_until_the_header_says_it(recorder: Recorder) -> None:
    with serving(Proxied(), **PROXIED) as server:
        connection = server.connect()
        connection.close()
        session = recorder.wait_for_session()
    assert "client.address" not in (session.attributes or {})
    assert (session.attributes or {})["network.peer.address"] == "127.0.0.1"


def test_an_ignored_load_balancer_does_not_hide_the_clients_behind_it(
    recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SESSIONSPAN_IGNORE_CLIENTS", "127.0.0.0/8")
    settings.reload()
    with serving(Proxied(), **PROXIED) as server:
        check = server.connect()
        check.close()  # a TCP health check of the balancer itself
        connection = server.connect()
        connection.send(b"PROXY TCP4 198.51.100.7 192.0.2.1 12345 25\r\n")
        connection.read_reply()
        connection.command(b"QUIT")
        recorder.wait_for_session()
    assert [(s.attributes or {})["client.address"] for s in recorder.sessions] == ["198.51.100.7"]


def test_a_unix_socket_has_a_path_and_no_client_address(recorder: Recorder, tmp_path: Path) -> None:
    path = tmp_path / "lmtp.sock"
    with serving(protocol=LMTP, unix_socket=path) as server:
        client = server.connect()
        client.read_reply()
        client.command(b"LHLO x")
        client.command(b"MAIL FROM:<a@x>")
        client.command(b"RCPT TO:<b@y>")
        client.command(b"RCPT TO:<full@y>")
        client.command(b"DATA")
        client.send(b"x\r\n.\r\n")
        client.read_reply()
        client.read_reply()
        client.command(b"QUIT")
        session = recorder.wait_for_session()
    attributes = session.attributes or {}
    assert session.name == "LMTP session"
    assert attributes["network.transport"] == "unix"
    assert attributes["network.local.address"] == str(path)
    assert not {"client.address", "client_ip", "network.peer.address", "client.port"} & set(attributes)
    assert recorder.transcript()[-5:-1] == [
        "mail.reception b@y",
        "mail.rejection . 452",
        "command DATA 452",
        "command QUIT 221",
    ]


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


def test_the_controllers_own_probe_is_no_session(recorder: Recorder) -> None:
    controller = Controller(Handler(), hostname="127.0.0.1", port=free_port())
    controller.start()
    try:
        with smtplib.SMTP("127.0.0.1", controller.port) as client:
            client.noop()
        recorder.wait_for_session()
    finally:
        controller.stop()
    assert len(recorder.sessions) == 1
    assert len({event.session_id for event in recorder.events}) == 1


def test_the_probe_of_a_tls_controller_is_no_session(recorder: Recorder) -> None:
    controller = Controller(Handler(), hostname="127.0.0.1", port=free_port(), ssl_context=server_context())
    controller.start()
    controller.stop()
    assert recorder.sessions == []
    assert recorder.events == []


def test_the_probe_over_a_unix_socket_is_no_session(recorder: Recorder, tmp_path: Path) -> None:
    controller = UnixSocketController(Handler(), unix_socket=str(tmp_path / "s"))
    controller.start()
    raw = socket.socket(socket.AF_UNIX)
    raw.connect(str(tmp_path / "s"))
    client = Client(raw)
    client.read_reply()
    client.command(b"QUIT")
    recorder.wait_for_session()
    controller.stop()
    assert len(recorder.sessions) == 1


def test_a_client_that_connects_while_the_controller_probes_is_a_session(recorder: Recorder) -> None:
    controller = Controller(Handler(), hostname="127.0.0.1", port=free_port())
    clients: list[Client] = []

    class Eager(SMTP):
        """Holds the probe back until a real client has connected, and said nothing yet."""

        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            super().connection_made(transport)
            if not clients:
                raw = socket.socket()
                raw.setblocking(False)
                with contextlib.suppress(BlockingIOError):
                    raw.connect(("127.0.0.1", controller.port))
                raw.setblocking(True)
                clients.append(Client(raw))

    controller.factory = lambda: Eager(Handler(), hostname="mx.example")  # type: ignore[method-assign]
    controller.start()
    try:
        (client,) = clients
        client.read_reply()
        client.close()  # without a word
        session = recorder.wait_for_session()
    finally:
        controller.stop()
    assert (session.attributes or {})["client.port"] == client.address[1]
    assert len(recorder.sessions) == 1


def test_ignored_clients_are_no_sessions(recorder: Recorder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SESSIONSPAN_IGNORE_CLIENTS", "127.0.0.0/8, 10.0.0.0/8")
    settings.reload()
    with serving() as server:
        client = server.connect()
        client.read_reply()
        assert client.command(b"EHLO x").startswith(b"250")
        client.command(b"QUIT")
        client.read_reply()
    assert recorder.sessions == []
    assert recorder.events == []


def test_ignored_clients_behind_a_proxy_are_no_sessions(
    recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SESSIONSPAN_IGNORE_CLIENTS", "198.51.100.0/24")
    settings.reload()
    with serving(Proxied(), **PROXIED) as server:
        for address in (b"198.51.100.7", b"198.51.101.7"):
            connection = server.connect()
            connection.send(b"PROXY TCP4 %s 192.0.2.1 12345 25\r\n" % address)
            connection.read_reply()
            connection.command(b"QUIT")
        recorder.wait_for_session()
    assert [(s.attributes or {})["client.address"] for s in recorder.sessions] == ["198.51.101.7"]


# Many at once, and evil ones.


def test_two_hundred_sessions_at_once_mix_nothing(recorder: Recorder) -> None:
    def one(server: Server, number: int) -> None:
        name = b"user%d" % number
        client = server.connect()
        client.read_reply()
        client.command(b"EHLO host%d.example" % number)
        client.command(b"AUTH PLAIN " + base64.b64encode(b"\0" + name + b"\0secret"))
        lines = b"MAIL FROM:<%s@x>\r\nRCPT TO:<to-%s@y>\r\nDATA\r\n" % (name, name)
        for _ in range(3):
            client.send(lines)
            for _ in range(3):
                client.read_reply()
            client.send(b"X" * number + b"\r\n.\r\n")
            client.read_reply()
        if number % 5:
            client.command(b"QUIT")
            client.close()
        else:
            client.reset()

    with serving(**AUTH) as server:
        threads = [threading.Thread(target=one, args=(server, number)) for number in range(200)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        recorder.wait_for_sessions(200)
    assert len(recorder.sessions) == 200
    seen = set()
    for session in recorder.sessions:
        attributes = session.attributes or {}
        user = str(attributes["username"])
        number = int(user.removeprefix("user"))
        seen.add(number)
        assert attributes["sessionspan.peer.hostname"] == f"host{number}.example"
        assert attributes["sessionspan.mail.accepted.count"] == 3
        assert attributes["sessionspan.end_reason"] == ("quit" if number % 5 else "peer_reset")
        events = recorder.of(session)
        assert {event["client.port"] for event in events} == {attributes["client.port"]}
        assert {event.attributes.get("user.name", user) for event in events} == {user}
        mails = [event for event in events if event.name == "mail.reception"]
        assert [event["sessionspan.mail.sender"] for event in mails] == [f"{user}@x"] * 3
        assert [event["sessionspan.mail.recipients"] for event in mails] == [(f"to-{user}@y",)] * 3
        assert [event["sessionspan.mail.message.size"] for event in mails] == [number + 2] * 3
        assert [event["sessionspan.command.sequence"] for event in events if event.name == "command"] == list(
            range(1, 12 + (number % 5 > 0))
        )
    assert seen == set(range(200))


EVIL = {
    "not utf-8": b"EHLO \xff\xfe\r\nMAIL FROM:<\xff@x>\r\n",
    "nul bytes": b"EHLO a\0b\r\nNO\0OP\r\n\0\0\0\r\n",
    "long line": b"EHLO " + b"x" * 100_000 + b"\r\n",
    "endless line": b"x" * 100_000,
    "http": b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    "tls hello": bytes.fromhex("160301020001000 1fc0303".replace(" ", "")) + bytes(range(256)) + b"\r\n",
    "lone lf": b"EHLO x\nMAIL FROM:<a@x>\nRCPT TO:<b@y>\nDATA\n",
    "controls": b"EHLO \x1b[31mred\x07\r\n",
    "everything at once": b"EHLO x\r\nMAIL FROM:<a@x>\r\nRCPT TO:<b@y>\r\nDATA\r\nx\r\n.\r\nNOOP\r\nQUIT\r\n",
    "long data line": b"EHLO x\r\nMAIL FROM:<a@x>\r\nRCPT TO:<b@y>\r\nDATA\r\n" + b"y" * 5000 + b"\r\n.\r\n",
    "empty lines": b"\r\n\r\n\r\n",
    "smuggling": b"EHLO x\r\nMAIL FROM:<a@x>\r\nRCPT TO:<b@y>\r\nDATA\r\nx\n.\nMAIL FROM:<evil@x>\n.\r\n",
}


@pytest.mark.parametrize("kind", EVIL)
@pytest.mark.parametrize("goes", ["close", "reset"])
def test_an_evil_client_is_one_session(recorder: Recorder, kind: str, goes: str) -> None:
    with serving() as server:
        client = server.connect()
        client.read_reply()
        client.send(EVIL[kind])
        client.socket.settimeout(0.3)
        with contextlib.suppress(OSError):
            while client.read_reply():
                pass
        getattr(client, goes)()
        session = recorder.wait_for_session()
    text = recorder.everything()
    assert "\0" not in text
    assert "\x1b" not in text
    assert (session.attributes or {})["sessionspan.outcome"] in ("ok", "aborted", "rejected")
    assert len(recorder.sessions) == 1


def test_a_flood_of_commands_keeps_the_first_and_the_last_events(
    recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SESSIONSPAN_MAX_EVENTS", "200")
    settings.reload()
    with serving(**AUTH) as server:
        client = server.connect()
        client.read_reply()
        client.command(b"EHLO x")
        for _ in range(500):
            client.command(b"NOOP")
        client.command(b"AUTH PLAIN " + ALICE)
        send_mail(client)
        client.command(b"QUIT")
        session = recorder.wait_for_session()
    attributes = session.attributes or {}
    assert attributes["sessionspan.command.count"] == 506
    assert attributes["sessionspan.event.dropped.count"] == 306
    assert len(recorder.named("command")) == 200
    assert len(recorder.named("auth.success")) == len(recorder.named("mail.reception")) == 1
    names = [event.name.removeprefix("sessionspan.") for event in session.events]
    assert len(names) == 122
    assert names[0] == "session.start"
    assert names[-4:] == ["auth.success", "mail.reception", "auth.end", "session.end"]
    assert attributes["sessionspan.event.unspanned.count"] == int(str(attributes["sessionspan.event.count"])) - 122


def test_a_server_whose_instrumentation_is_suppressed_has_no_sessions(recorder: Recorder) -> None:
    suppression = suppress_instrumentation()

    def suppress() -> None:
        suppression.__enter__()

    with serving(run_in_loop=suppress) as server:
        client = server.connect()
        client.read_reply()
        client.command(b"QUIT")
        client.read_reply()
    assert recorder.sessions == []


# What its own log may say.


@pytest.mark.parametrize("variable", ["SESSIONSPAN_ENVELOPE", "SESSIONSPAN_IDENTITY"])
def test_what_a_privacy_class_keeps_back_the_librarys_log_does_not_let_out(
    recorder: Recorder, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    monkeypatch.setenv(variable, "off")
    settings.reload()
    handler = LoggingHandler(logger_provider=recorder.logger_provider)
    mail_log = logging.getLogger("mail.log")
    mail_log.addHandler(handler)
    mail_log.setLevel(logging.DEBUG)
    try:
        with serving() as server:
            client = server.connect()
            client.read_reply()
            client.command(b"EHLO x")
            send_mail(client, b"bob@secret.example", sender=b"alice@secret.example")
            client.command(b"QUIT")
            recorder.wait_for_session()
    finally:
        mail_log.removeHandler(handler)
        mail_log.setLevel(logging.NOTSET)
    exported = repr([record.log_record.body for record in recorder.logs])
    assert "secret.example" not in exported
    assert ("127.0.0.1" in exported) is (variable == "SESSIONSPAN_ENVELOPE")


def test_the_librarys_wire_log_is_not_exported_and_the_applications_is(recorder: Recorder) -> None:
    handler = LoggingHandler(logger_provider=recorder.logger_provider)
    local: list[logging.LogRecord] = []

    class Local(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            local.append(record)

    mail_log = logging.getLogger("mail.log")
    mine = Local()
    mail_log.addHandler(handler)
    mail_log.addHandler(mine)
    level = mail_log.level
    mail_log.setLevel(logging.DEBUG)
    password = base64.b64encode(b"correct horse battery staple")
    try:
        with serving(**AUTH) as server:
            client = server.connect()
            client.read_reply()
            client.command(b"EHLO x")
            client.command(b"AUTH LOGIN")
            client.command(b"*")
            client.command(password)  # sent where a command is read: aiosmtpd logs it
            mail_log.info("the application's own line")
            client.command(b"QUIT")
            recorder.wait_for_session()
    finally:
        mail_log.removeHandler(handler)
        mail_log.removeHandler(mine)
        mail_log.setLevel(level)
    exported = [str(record.log_record.body) for record in recorder.logs]
    assert any(password.decode() in record.getMessage() for record in local)
    assert not any(password.decode() in line for line in exported)
    assert any(line.startswith("Peer:") for line in exported)
    assert "the application's own line" in exported
    assert password.decode() not in recorder.everything()
