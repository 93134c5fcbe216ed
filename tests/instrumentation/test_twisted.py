"""twisted.mail, really serving SMTP, POP3 and IMAP, and what its sessions say."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import hmac
import imaplib
import poplib
import smtplib
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from OpenSSL import SSL
from opentelemetry.trace import SpanKind, StatusCode
from twisted.internet import defer, threads
from twisted.mail import pop3, smtp
from twisted.protocols import policies

from sessionspan import current_session
from sessionspan import settings as settings_module
from sessionspan.guard import guard
from sessionspan.testing import Recorder
from sessionspan_twisted import TwistedIMAPInstrumentor, TwistedPOP3Instrumentor, TwistedSMTPInstrumentor
from tests.instrumentation.kit_twisted import (
    MESSAGE,
    PASSWORD,
    SECRET,
    TLS,
    Boom,
    Client,
    ESMTPServer,
    IMAPServer,
    POP3Server,
    Server,
    client_context,
    in_reactor,
    loop,
    serving,
)

B64 = base64.b64encode
PLAIN = B64(b"\0alice\0" + SECRET)
INSTRUMENTORS = (TwistedSMTPInstrumentor, TwistedPOP3Instrumentor, TwistedIMAPInstrumentor)


def instrument(recorder: Recorder) -> None:
    for kind in INSTRUMENTORS:
        kind().instrument(
            tracer_provider=recorder.tracer_provider,
            logger_provider=recorder.logger_provider,
            meter_provider=recorder.meter_provider,
        )


@pytest.fixture(autouse=True)
def instrumented(recorder: Recorder) -> Iterator[None]:
    before = guard.failures
    instrument(recorder)
    yield
    for kind in INSTRUMENTORS:
        kind().uninstrument()
    assert guard.failures == before


@pytest.fixture
def carried(recorder: Recorder, monkeypatch: pytest.MonkeyPatch) -> None:
    """SESSIONSPAN_TWISTED_CONTEXT is on."""
    monkeypatch.setenv("SESSIONSPAN_TWISTED_CONTEXT", "on")
    settings_module.reload()
    for kind in INSTRUMENTORS:
        kind().uninstrument()
    instrument(recorder)


def attributes(recorder: Recorder) -> dict[str, Any]:
    return dict(recorder.wait_for_session().attributes or {})


def commands(recorder: Recorder) -> list[str]:
    """Each command with its reply: the code of SMTP, the status of the others."""
    return [
        f"{event['sessionspan.command.name']} "
        f"{event.attributes.get('sessionspan.reply.code', event['sessionspan.reply.status'])}"
        for event in recorder.named("command")
    ]


def stored(recorder: Recorder) -> list[str]:
    """What was done to messages: mailbox, unique id and size, as far as they are told."""
    keys = ("sessionspan.store.mailbox", "sessionspan.mail.message.uid", "sessionspan.mail.message.size")
    return [
        " ".join([event.name.rpartition(".")[2], *(str(event[key]) for key in keys if key in event.attributes)])
        for event in recorder.events
        if event.name.startswith("store.message.")
    ]


def greeted(server: Server) -> Client:
    client = server.connect()
    assert client.read_line()
    return client


# The stories.


def test_an_smtp_session_is_one_root_server_span_with_an_event_per_step(recorder: Recorder) -> None:
    with serving(ESMTPServer) as server:
        client = smtplib.SMTP("127.0.0.1", server.port, "client.example", timeout=10)
        client.ehlo()
        with pytest.raises(smtplib.SMTPAuthenticationError):
            client.login("alice", "wrong")
        client.login("alice", PASSWORD)
        refused = client.sendmail("a@example.com", ["b@example.com", "nobody@example.com"], MESSAGE)
        assert set(refused) == {"nobody@example.com"}
        client.quit()
        span = recorder.wait_for_session()
    assert (span.name, span.kind, span.parent) == ("SMTP session", SpanKind.SERVER, None)
    assert span.status.status_code is StatusCode.UNSET
    told = dict(span.attributes or {})
    assert told["client.address"] == told["client_ip"] == "127.0.0.1"
    assert told["user.name"] == told["username"] == "alice"
    assert (told["sessionspan.end_reason"], told["sessionspan.outcome"]) == ("quit", "ok")
    assert told["sessionspan.peer.hostname"] == "client.example"
    assert told["sessionspan.tls.mode"] == "none"
    (reception,) = recorder.named("mail.reception")
    assert reception["sessionspan.mail.recipients"] == ("b@example.com",)
    assert [line for line in recorder.transcript() if not line.startswith("command")] == [
        "session.start",
        *["auth.failure invalid_credentials"] * 3,  # smtplib tries each mechanism
        "auth.success alice",
        "mail.rejection RCPT 550",
        "mail.reception b@example.com",
        "auth.end alice",
        "session.end",
    ]
    assert commands(recorder)[-5:] == ["MAIL 250", "RCPT 250", "RCPT 550", "DATA 250", "QUIT 221"]
    assert server.logouts == 1
    assert server.messages[0][0] == b"Received: by example"


def test_a_pop3_session_is_told_with_its_long_replies(recorder: Recorder) -> None:
    with serving(POP3Server) as server:
        client = poplib.POP3("127.0.0.1", server.port, timeout=10)
        assert "TOP" in client.capa()
        client.user("alice")
        with pytest.raises(poplib.error_proto):
            client.pass_("wrong")
        client.user("alice")
        client.pass_(PASSWORD)
        assert client.stat() == (2, 3 * len(MESSAGE))
        assert len(client.list()[1]) == len(client.uidl()[1]) == 2
        assert client.retr(1)[1] == MESSAGE.splitlines()
        assert client.top(2, 1)[1][0] == b"Subject: hi"
        client.dele(2)
        client.quit()
        told = attributes(recorder)
    assert (told["protocol"], told["user.name"]) == ("POP3", "alice")
    assert (told["sessionspan.end_reason"], told["sessionspan.outcome"]) == ("quit", "ok")
    assert commands(recorder) == [
        "CAPA ok",
        "USER ok",
        "PASS err",
        "USER ok",
        "PASS ok",
        "STAT ok",
        "LIST ok",
        "UIDL ok",
        "RETR ok",
        "TOP ok",
        "DELE ok",
        "QUIT ok",
    ]
    assert [event["sessionspan.auth.user.name"] for event in recorder.named("auth.failure")] == ["alice"]
    assert stored(recorder) == ["open uid0 32", "open uid1 64", "delete uid1 64"]


def test_an_imap_session_is_told_with_its_literals(recorder: Recorder) -> None:
    with serving(IMAPServer) as server:
        client = imaplib.IMAP4("127.0.0.1", server.port, timeout=10)
        with pytest.raises(imaplib.IMAP4.error):
            client.login("alice", "wrong")
        client.login("alice", PASSWORD)
        assert client.select("INBOX")[0] == "OK"
        assert client.fetch("1:*", "(FLAGS BODY[])")[0] == "OK"
        appended = b"Subject: hi\r\n\r\n9 OK forged\r\n"
        assert client.append("INBOX", "(\\Seen)", '" 1-Jan-2026 00:00:00 +0000"', appended)[0] == "OK"
        assert client.select("nowhere")[0] == "NO"
        client.logout()
        told = attributes(recorder)
    assert (told["protocol"], told["user.name"]) == ("IMAP", "alice")
    assert (told["sessionspan.end_reason"], told["sessionspan.outcome"]) == ("quit", "ok")
    assert commands(recorder) == [
        "CAPABILITY ok",
        "LOGIN no",
        "LOGIN ok",
        "SELECT ok",
        "FETCH ok",
        "APPEND ok",
        "SELECT no",
        "LOGOUT ok",
    ]
    assert told["sessionspan.received.size"] > len(appended)
    assert told["sessionspan.sent.size"] > 1400
    assert stored(recorder) == ["open INBOX 1415", f"store INBOX {len(appended)}"]


def test_idle_has_events_of_its_own(recorder: Recorder) -> None:
    with serving(IMAPServer) as server:
        client = greeted(server)
        client.imap(b"1 LOGIN alice " + SECRET)
        assert client.imap(b"2 IDLE").startswith(b"+")
        recorder.wait_for_event("idle.start")
        client.send(b"DONE\r\n")
        assert client.read_to(b"2 ").startswith(b"2 OK")
        client.imap(b"3 LOGOUT")
        recorder.wait_for_session()
    assert len(recorder.named("idle.end")) == 1


# Logins: whom the library has accepted.

CRAM = object()


def cram_md5(challenge: bytes) -> bytes:
    asked = base64.b64decode(challenge.partition(b" ")[2])
    return B64(b"alice " + hmac.new(SECRET, asked, "md5").hexdigest().encode())


MECHANISMS: dict[str, list[Any]] = {
    "PLAIN": [PLAIN],
    "LOGIN": [B64(b"alice"), B64(SECRET)],
    "CRAM-MD5": [CRAM],
}


def exchange(client: Client, reply: bytes, responses: list[Any]) -> bytes:
    for response in responses:
        assert reply.startswith((b"334", b"+"))
        reply = client.command(cram_md5(reply) if response is CRAM else response)
    return reply


@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_an_smtp_login_has_its_mechanism(recorder: Recorder, mechanism: str) -> None:
    with serving(ESMTPServer) as server:
        client = greeted(server)
        client.smtp(b"EHLO c")
        reply = exchange(client, client.smtp(b"AUTH " + mechanism.encode()), MECHANISMS[mechanism])
        assert reply.startswith(b"235")
        client.smtp(b"QUIT")
        assert attributes(recorder)["user.name"] == "alice"
    assert recorder.named("auth.success")[0]["sessionspan.auth.mechanism"] == mechanism
    assert commands(recorder) == ["EHLO 250", "AUTH 235", "QUIT 221"]


@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_an_imap_login_has_its_mechanism(recorder: Recorder, mechanism: str) -> None:
    with serving(IMAPServer) as server:
        client = greeted(server)
        reply = exchange(client, client.imap(b"1 AUTHENTICATE " + mechanism.encode()), MECHANISMS[mechanism])
        assert reply.startswith(b"1 OK")
        client.imap(b"2 LOGOUT")
        assert attributes(recorder)["user.name"] == "alice"
    assert recorder.named("auth.success")[0]["sessionspan.auth.mechanism"] == mechanism


def test_a_pop3_exchange_is_a_login(recorder: Recorder) -> None:
    with serving(POP3Server) as server:
        client = greeted(server)
        assert exchange(client, client.command(b"AUTH CRAM-MD5"), [CRAM]).startswith(b"+OK")
        client.command(b"QUIT")
        assert attributes(recorder)["user.name"] == "alice"
    assert recorder.named("auth.success")[0]["sessionspan.auth.mechanism"] == "CRAM-MD5"


def test_apop_of_a_server_that_knows_it_is_a_login(recorder: Recorder) -> None:
    class APOP(POP3Server):
        # Twisted's own compares text with bytes, and so accepts nobody.
        def authenticateUserAPOP(self, user: bytes, digest: bytes) -> Any:
            assert self.magic is not None
            right = hashlib.md5(self.magic + SECRET).hexdigest().encode() == digest
            return self.authenticateUserPASS(user, SECRET if right else b"")

    with serving(APOP) as server:
        client = server.connect()
        stamp = client.read_line().partition(b" ")[2]
        assert client.command(b"APOP alice " + b"0" * 32).startswith(b"-ERR")
        digest = hashlib.md5(stamp + SECRET).hexdigest().encode()
        assert client.command(b"APOP alice " + digest).startswith(b"+OK")
        client.command(b"QUIT")
        assert attributes(recorder)["user.name"] == "alice"
    assert [line for line in recorder.transcript() if line.startswith("auth")] == [
        "auth.failure _OTHER",
        "auth.success alice",
        "auth.end alice",
    ]


@pytest.mark.parametrize("kind", [ESMTPServer, IMAPServer])
def test_the_identity_that_a_client_asks_for_is_not_whom_the_library_accepts(
    recorder: Recorder, kind: Any
) -> None:
    claim = B64(b"root\0alice\0" + SECRET)
    with serving(kind) as server:
        client = greeted(server)
        if kind is ESMTPServer:
            assert client.smtp(b"AUTH PLAIN " + claim).startswith(b"235")
        else:
            client.imap(b"1 AUTHENTICATE PLAIN")
            assert client.command(claim).startswith(b"1 OK")
        client.close()
        told = attributes(recorder)
    assert told["user.name"] == "alice"


def test_an_anonymous_login_for_mail_is_nobodys(recorder: Recorder) -> None:
    with serving(smtp.SMTP) as server:
        in_reactor(server.portal.registerChecker, Anybody())
        client = greeted(server)
        client.smtp(b"HELO c")
        assert client.smtp(b"MAIL FROM:<a@example.com>").startswith(b"250")
        client.smtp(b"QUIT")
        told = attributes(recorder)
    assert "user.name" not in told
    assert recorder.named("auth.success") == []


class Anybody:
    from twisted.cred.credentials import IAnonymous

    credentialInterfaces = (IAnonymous,)

    def requestAvatarId(self, credentials: Any) -> bytes:
        return b""


# Pipelining: Twisted goes on before a Deferred has fired.


def test_a_reply_to_a_later_command_is_no_success_of_a_login_that_waits(recorder: Recorder) -> None:
    with serving(ESMTPServer) as server:
        server.checker.late = True
        client = greeted(server)
        client.smtp(b"EHLO c")
        client.send(b"AUTH PLAIN " + B64(b"\0root\0wrong") + b"\r\nRSET\r\nNOOP\r\n")
        assert client.read_line().startswith(b"250")
        assert client.read_line().startswith(b"500")  # Twisted knows no NOOP
        assert recorder.named("auth.success") == []
        server.release_login()
        assert client.read_line().startswith(b"535")
        client.smtp(b"QUIT")
        told = attributes(recorder)
    assert told["sessionspan.outcome"] == "auth_failed"
    assert commands(recorder) == ["EHLO 250", "RSET 250", "NOOP 500", "AUTH 535", "QUIT 221"]


def test_of_two_logins_at_once_the_accepted_one_is_told(recorder: Recorder) -> None:
    with serving(ESMTPServer) as server:
        server.checker.late = True
        client = greeted(server)
        client.send(b"AUTH PLAIN " + PLAIN + b"\r\nAUTH PLAIN " + B64(b"\0root\0wrong") + b"\r\nRSET\r\n")
        assert client.read_line().startswith(b"250")  # both have been taken
        server.release_login(0)
        assert client.read_line().startswith(b"235")
        server.release_login(0)
        assert client.read_line().startswith(b"535")
        client.close()
        told = attributes(recorder)
    assert told["user.name"] == "alice"
    (failure,) = recorder.named("auth.failure")
    assert failure["sessionspan.auth.user.name"] == "root"


def test_a_second_user_is_not_taken_for_the_one_whose_password_was_right(recorder: Recorder) -> None:
    with serving(POP3Server) as server:
        server.checker.late = True
        client = greeted(server)
        client.send(b"USER root\r\nPASS wrong\r\nUSER alice\r\nPASS " + SECRET + b"\r\nCAPA\r\n")
        client.read_to(b".")  # all have been taken
        assert recorder.named("auth.success") == []
        server.release_login(1)
        assert client.read_line().startswith(b"+OK")
        recorder.wait_for_event("auth.success")
        server.release_login(0)
        assert client.read_line().startswith(b"-ERR")
        client.command(b"QUIT")
        told = attributes(recorder)
    assert told["user.name"] == "alice"
    (failure,) = recorder.named("auth.failure")
    assert failure["sessionspan.auth.user.name"] == "root"


def test_a_login_behind_one_that_waits_is_not_hidden(recorder: Recorder) -> None:
    with serving(IMAPServer) as server:
        server.checker.late = True
        client = greeted(server)
        client.imap(b"1 AUTHENTICATE PLAIN")
        client.send(B64(b"\0root\0wrong") + b"\r\n2 LOGIN alice " + SECRET + b"\r\n3 NOOP\r\n")
        assert client.read_line().startswith(b"3 OK")
        server.release_login(1)
        assert client.read_line().startswith(b"2 OK")
        server.release_login(0)
        assert client.read_line().startswith(b"1 NO")
        client.imap(b"4 LOGOUT")
        told = attributes(recorder)
    assert told["user.name"] == "alice"
    assert commands(recorder) == ["NOOP ok", "LOGIN ok", "AUTHENTICATE no", "LOGOUT ok"]


def test_mail_whose_sender_waits_is_answered_in_its_own_order(recorder: Recorder) -> None:
    with serving(ESMTPServer) as server:
        client = greeted(server)
        client.smtp(b"EHLO c")
        client.smtp(b"AUTH PLAIN " + PLAIN)
        client.send(b"MAIL FROM:<late@example.com>\r\nRCPT TO:<b@example.com>\r\nRSET\r\n")
        assert client.read_line().startswith(b"503")
        assert client.read_line().startswith(b"250")
        server.release()
        assert client.read_line().startswith(b"250")
        client.smtp(b"QUIT")
        recorder.wait_for_session()
    assert commands(recorder)[2:] == ["RCPT 503", "RSET 250", "MAIL 250", "QUIT 221"]


def test_pipelined_commands_that_a_deferred_resumes_run_in_their_session(recorder: Recorder) -> None:
    seen: list[Any] = []
    with serving(POP3Server) as server:
        client = greeted(server)
        client.command(b"USER alice")
        client.command(b"PASS " + SECRET)
        server.slow = True
        client.send(b"STAT\r\nNOOP\r\nDELE 1\r\nQUIT\r\n")
        recorder.wait_until(lambda: server.waiting, "STAT")
        server.saw = lambda: seen.append(current_session())
        server.release()
        client.read_to(b"never")
        told = attributes(recorder)
    assert [session.id for session in seen] == [told["sessionspan.session.id"]]
    assert commands(recorder)[2:] == ["STAT ok", "NOOP ok", "DELE ok", "QUIT ok"]
    assert told["sessionspan.end_reason"] == "quit"


def test_lines_that_imap_keeps_while_it_sends_mail_are_taken_once(recorder: Recorder) -> None:
    seen: list[Any] = []

    class Spied(IMAPServer):
        def do_NOOP(self, tag: bytes) -> None:
            seen.append(current_session())
            super().do_NOOP(tag)

        auth_NOOP: Any = (do_NOOP,)
        select_NOOP: Any = (do_NOOP,)

    with serving(Spied) as server:
        client = greeted(server)
        client.imap(b"1 LOGIN alice " + SECRET)
        client.imap(b"2 SELECT INBOX")
        client.send(b"3 FETCH 1 (BODY[])\r\n4 NOOP\r\n5 FETCH 1 (UID)\r\n6 NOOP\r\n7 LOGOUT\r\n")
        client.read_to(b"7 ")
        told = attributes(recorder)
    assert commands(recorder)[2:] == ["FETCH ok", "NOOP ok", "FETCH ok", "NOOP ok", "LOGOUT ok"]
    assert [session.id for session in seen] == [told["sessionspan.session.id"]] * 2


# What is said in ways that only the library understands.


@pytest.mark.parametrize("line", [b"AUTH\tPLAIN " + PLAIN, b"  AUTH  PLAIN " + PLAIN, b"auth\x0bplain " + PLAIN])
def test_an_smtp_login_with_odd_spaces_is_not_hidden(recorder: Recorder, line: bytes) -> None:
    with serving(ESMTPServer) as server:
        client = greeted(server)
        assert client.smtp(line).startswith(b"235")
        client.close()
        assert attributes(recorder)["user.name"] == "alice"


@pytest.mark.parametrize(
    "lines",
    [
        b"1\tLOGIN\talice " + SECRET,
        b"  1 LOGIN alice " + SECRET,
        b"0 NOOP {30+}\r\n1 LOGIN alice " + SECRET,
        b"0 NOOP {30}\r\n1 LOGIN alice " + SECRET,
        b"0 X \nfoo\r\n1 LOGIN alice " + SECRET,
        b"0 AUTHENTICATE NONE\r\n1 LOGIN alice " + SECRET,
        b"0 IDLE\r\n1 LOGIN alice " + SECRET,
        b"1 LOGIN {5}\r\nalice " + SECRET,
    ],
)
def test_an_imap_login_with_odd_lines_is_not_hidden(recorder: Recorder, lines: bytes) -> None:
    with serving(IMAPServer) as server:
        client = greeted(server)
        client.send(lines + b"\r\n")
        assert client.read_to(b"1 ").startswith(b"1 OK")
        client.close()
        assert attributes(recorder)["user.name"] == "alice"


def test_a_lone_line_feed_does_not_shift_the_replies(recorder: Recorder) -> None:
    with serving(POP3Server) as server:
        client = greeted(server)
        client.command(b"USER root\nUSER\nPASS")
        assert client.command(b"PASS wrong").startswith(b"-ERR")
        client.command(b"USER alice")
        assert client.command(b"PASS " + SECRET).startswith(b"+OK")
        client.command(b"QUIT")
        told = attributes(recorder)
    assert told["user.name"] == "alice"
    assert commands(recorder) == ["USER ok", "PASS err", "USER ok", "PASS ok", "QUIT ok"]


def test_a_line_that_is_too_long_ends_a_message_and_hides_nothing(recorder: Recorder) -> None:
    with serving(ESMTPServer) as server:
        client = greeted(server)
        client.smtp(b"EHLO c")
        client.smtp(b"AUTH PLAIN " + PLAIN)
        for line in (b"MAIL FROM:<a@example.com>", b"RCPT TO:<b@example.com>", b"DATA"):
            client.smtp(line)
        assert client.smtp(b"x" * 17000).startswith(b"500")
        assert client.smtp(b"RSET").startswith(b"250")
        assert client.smtp(b"y" * 17000).startswith(b"500")
        client.smtp(b"QUIT")
        recorder.wait_for_session()
    assert commands(recorder)[2:] == [
        "MAIL 250",
        "RCPT 250",
        "DATA 500",
        "RSET 250",
        "_OTHER 500",
        "QUIT 221",
    ]
    assert recorder.named("mail.reception") == []
    assert server.lost == 1


def test_a_line_that_is_too_long_does_not_hide_the_login_around_it(recorder: Recorder) -> None:
    with serving(ESMTPServer) as server:
        client = greeted(server)
        assert client.smtp(b"AUTH LOGIN").startswith(b"334")
        assert client.smtp(b"x" * 17000).startswith(b"500")
        assert client.smtp(B64(b"alice")).startswith(b"334")
        assert client.smtp(B64(SECRET)).startswith(b"235")
        client.close()
        assert attributes(recorder)["user.name"] == "alice"


# Ends.

KINDS = pytest.mark.parametrize("kind", [ESMTPServer, POP3Server, IMAPServer])


@KINDS
def test_a_client_that_goes_without_goodbye_is_peer_eof(recorder: Recorder, kind: Any) -> None:
    with serving(kind) as server:
        greeted(server).close()
        told = attributes(recorder)
    assert (told["sessionspan.end_reason"], told["sessionspan.outcome"]) == ("peer_eof", "ok")


@KINDS
def test_a_reset_is_peer_reset(recorder: Recorder, kind: Any) -> None:
    with serving(kind) as server:
        greeted(server).reset()
        told = attributes(recorder)
    assert told["sessionspan.end_reason"] == "peer_reset"
    assert "error.type" not in told


def test_a_client_that_goes_within_its_message_has_aborted(recorder: Recorder) -> None:
    with serving(ESMTPServer) as server:
        client = greeted(server)
        for line in (b"EHLO c", b"AUTH PLAIN " + PLAIN, b"MAIL FROM:<a@x>", b"RCPT TO:<b@x>", b"DATA"):
            client.smtp(line)
        client.send(b"half\r\n")
        client.close()
        told = attributes(recorder)
    assert (told["sessionspan.end_reason"], told["sessionspan.outcome"]) == ("peer_eof", "aborted")
    assert recorder.named("mail.reception") == []


@KINDS
def test_a_silent_client_is_timeout(recorder: Recorder, kind: Any) -> None:
    class Impatient(kind):  # type: ignore[misc]
        timeout = timeOut = 0.05

    with serving(Impatient) as server:
        client = greeted(server)
        client.read_to(b"never")
        assert attributes(recorder)["sessionspan.end_reason"] == "timeout"


@KINDS
def test_a_server_that_closes_is_local_close(recorder: Recorder, kind: Any) -> None:
    with serving(kind) as server:
        client = greeted(server)
        in_reactor(server.protocols[0].transport.loseConnection)
        client.read_to(b"never")
        assert attributes(recorder)["sessionspan.end_reason"] == "local_close"


@pytest.mark.parametrize("kind", [POP3Server, IMAPServer])
def test_an_endless_line_is_a_limit(recorder: Recorder, kind: Any) -> None:
    with serving(kind) as server:
        client = greeted(server)
        with contextlib.suppress(OSError):
            client.send(b"x" * 1_000_000)
        told = attributes(recorder)
    assert "error.type" not in told
    assert told["sessionspan.end_reason"] == "limit"


@KINDS
def test_what_is_raised_where_bytes_are_received_is_an_error_without_its_text(
    recorder: Recorder, kind: Any
) -> None:
    class Raises(kind):  # type: ignore[misc]
        def lineReceived(self, line: bytes) -> None:
            raise Boom(f"with {PASSWORD}")

    with serving(Raises) as server:
        client = greeted(server)
        client.send(b"1 NOOP\r\n")
        client.read_to(b"never")
        told = attributes(recorder)
    assert (told["sessionspan.outcome"], told["sessionspan.end_reason"]) == ("error", "handler_error")
    assert told["error.type"] == "tests.instrumentation.kit_twisted.Boom"
    assert PASSWORD not in recorder.everything()


@pytest.mark.parametrize(
    ("kind", "lines"),
    [
        (ESMTPServer, [b"EHLO c", b"AUTH PLAIN " + PLAIN, b"MAIL FROM:<a@x>", b"RCPT TO:<boom@x>"]),
        (
            ESMTPServer,
            [b"EHLO c", b"AUTH PLAIN " + PLAIN, b"MAIL FROM:<a@x>", b"RCPT TO:<b@x>", b"DATA", b"\r\nboom\r\n."],
        ),
        (POP3Server, ["raises", b"USER alice", b"PASS " + SECRET]),
        (IMAPServer, ["raises", b"1 LOGIN alice " + SECRET]),
        (IMAPServer, [b"1 LOGIN alice " + SECRET, b"2 SELECT boom"]),
        (IMAPServer, [b"1 LOGIN alice " + SECRET, b"2 SELECT INBOX", b"3 STORE 1 +FLAGS (\\Seen)"]),
    ],
)
def test_what_the_application_raises_is_an_error_without_its_text(
    recorder: Recorder, kind: Any, lines: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SESSIONSPAN_CAPTURE", "content")
    settings_module.reload()
    with serving(kind) as server:
        client = greeted(server)
        if lines[0] == "raises":
            server.checker.raises = Boom(f"with {PASSWORD}")
            lines = lines[1:]
        for line in lines:
            client.imap(line) if kind is IMAPServer else client.smtp(line)
        client.close()
        told = attributes(recorder)
    assert (told["sessionspan.outcome"], told["error.type"]) == ("error", "tests.instrumentation.kit_twisted.Boom")
    assert len(recorder.named("session.exception")) == 1
    assert PASSWORD not in recorder.everything()


def test_a_message_that_the_application_refuses_is_no_error(recorder: Recorder) -> None:
    with serving(ESMTPServer) as server:
        client = greeted(server)
        for line in (b"EHLO c", b"AUTH PLAIN " + PLAIN, b"MAIL FROM:<a@x>", b"RCPT TO:<b@x>", b"DATA"):
            client.smtp(line)
        assert client.smtp(b"\r\nrefused\r\n.").startswith(b"550")
        client.smtp(b"QUIT")
        told = attributes(recorder)
    assert (told["sessionspan.outcome"], told["sessionspan.end_reason"]) == ("rejected", "quit")
    assert recorder.named("session.exception") == []


@KINDS
def test_subclasses_that_skip_super_still_begin_and_end(recorder: Recorder, kind: Any) -> None:
    seen: list[Any] = []

    class Own(kind):  # type: ignore[misc]
        def connectionMade(self) -> None:
            seen.append(current_session())
            self.transport.write(b"220 +OK * OK mine\r\n" if kind is ESMTPServer else b"+OK mine\r\n")

        def connectionLost(self, reason: Any) -> None:
            seen.append(current_session())

        def dataReceived(self, data: bytes) -> None:
            seen.append(current_session())
            self.transport.write(data)

    with serving(Own) as server:
        client = greeted(server)
        assert client.command(b"hello") == b"hello"
        client.close()
        told = attributes(recorder)
    assert [session.id for session in seen] == [told["sessionspan.session.id"]] * 3
    assert told["sessionspan.end_reason"] == "peer_eof"


def test_a_server_that_answers_itself_is_heard(recorder: Recorder) -> None:
    class Honeypot(pop3.POP3):
        def connectionMade(self) -> None:
            self.successResponse(b"ready")

        def processCommand(self, command: bytes, *args: bytes) -> None:
            if command == b"USER":
                self.successResponse(b"go on")
            else:
                self.failResponse("Authentication failed")

    with serving(Honeypot) as server:
        client = greeted(server)
        client.command(b"USER root")
        client.command(b"PASS " + SECRET)
        client.close()
        recorder.wait_for_session()
    (failure,) = recorder.named("auth.failure")
    assert failure["sessionspan.auth.user.name"] == "root"
    assert commands(recorder) == ["USER ok", "PASS err"]


def test_a_server_that_does_not_greet_is_heard(recorder: Recorder) -> None:
    class Silent(pop3.POP3):
        def connectionMade(self) -> None:
            pass

    with serving(Silent) as server:
        client = server.connect()
        client.command(b"USER alice")
        client.command(b"PASS " + SECRET)
        client.command(b"QUIT")
        assert attributes(recorder)["user.name"] == "alice"
    assert commands(recorder) == ["USER ok", "PASS ok", "QUIT ok"]


@KINDS
def test_the_objects_of_the_library_are_their_own_again_afterwards(recorder: Recorder, kind: Any) -> None:
    with serving(kind) as server:
        client = greeted(server)
        protocol = server.protocols[0]
        transport = protocol.transport
        assert "dataReceived" in vars(protocol)
        assert "write" in vars(transport)
        client.close()
        recorder.wait_for_session()
        for left in (protocol, transport):
            assert not [name for name, value in vars(left).items() if "Tap" in type(value).__name__]


# TLS.


def test_starttls_of_smtp_goes_on_in_the_same_session(recorder: Recorder) -> None:
    with serving(ESMTPServer) as server:
        client = smtplib.SMTP("127.0.0.1", server.port, timeout=10)
        client.starttls(context=client_context())
        client.login("alice", PASSWORD)
        client.quit()
        told = attributes(recorder)
    assert (told["sessionspan.tls.mode"], told["tls.protocol.version"]) == ("starttls", "1.3")
    assert told["tls.cipher"].startswith("TLS_")
    assert (told["user.name"], told["sessionspan.end_reason"]) == ("alice", "quit")
    assert [line for line in recorder.transcript() if "command" not in line] == [
        "session.start",
        "tls.established starttls",
        "auth.success alice",
        "auth.end alice",
        "session.end",
    ]


def test_stls_of_pop3_goes_on_in_the_same_session(recorder: Recorder) -> None:
    with serving(POP3Server) as server:
        client = poplib.POP3("127.0.0.1", server.port, timeout=10)
        client.stls(client_context())
        client.user("alice")
        client.pass_(PASSWORD)
        assert client.retr(1)[1] == MESSAGE.splitlines()
        client.quit()
        told = attributes(recorder)
    assert (told["sessionspan.tls.mode"], told["user.name"]) == ("starttls", "alice")
    assert commands(recorder) == ["CAPA ok", "STLS ok", "USER ok", "PASS ok", "RETR ok", "QUIT ok"]


def test_starttls_of_imap_goes_on_in_the_same_session(recorder: Recorder) -> None:
    class Encrypted(IMAPServer):
        def __init__(self) -> None:
            super().__init__()
            self.ctx = TLS(SSL.TLS1_2_VERSION)

    with serving(Encrypted) as server:
        client = imaplib.IMAP4("127.0.0.1", server.port, timeout=10)
        client.starttls(client_context())
        client.login("alice", PASSWORD)
        client.logout()
        told = attributes(recorder)
    assert (told["sessionspan.tls.mode"], told["tls.protocol.version"]) == ("starttls", "1.2")
    assert told["tls.cipher"].startswith("TLS_ECDHE_")
    assert told["user.name"] == "alice"


@KINDS
def test_implicit_tls_is_told(recorder: Recorder, kind: Any) -> None:
    with serving(kind, tls=TLS()) as server:
        client = server.connect()
        client.encrypt()
        client.read_line()
        client.send({ESMTPServer: b"QUIT", POP3Server: b"QUIT", IMAPServer: b"1 LOGOUT"}[kind] + b"\r\n")
        client.read_to(b"never")
        client.close()  # Twisted waits for TLS's goodbye
        told = attributes(recorder)
    assert (told["sessionspan.tls.mode"], told["tls.protocol.version"]) == ("implicit", "1.3")
    assert told["sessionspan.end_reason"] == "quit"
    assert len(commands(recorder)) == 1


def test_a_tls_listener_is_implicit(recorder: Recorder) -> None:
    with serving(POP3Server, listen=lambda factory: loop.listenSSL(0, factory, TLS(), 50, "127.0.0.1")) as server:
        client = poplib.POP3_SSL("127.0.0.1", server.port, context=client_context(), timeout=10)
        client.quit()
        assert attributes(recorder)["sessionspan.tls.mode"] == "implicit"


def test_a_starttls_handshake_that_fails_is_tls_failed(recorder: Recorder) -> None:
    with serving(ESMTPServer) as server:
        client = greeted(server)
        client.smtp(b"EHLO c")
        client.smtp(b"STARTTLS")
        client.send(b"this is no handshake\r\n")
        client.read_to(b"never")
        told = attributes(recorder)
    assert (told["sessionspan.end_reason"], told["sessionspan.tls.mode"]) == ("tls_failed", "starttls")
    assert recorder.named("tls.failure")[0]["error.type"] == "OpenSSL.SSL.Error"
    assert "error.type" not in told


def test_a_client_that_goes_instead_of_the_handshake_is_tls_failed(recorder: Recorder) -> None:
    with serving(ESMTPServer) as server:
        client = greeted(server)
        client.smtp(b"EHLO c")
        client.smtp(b"STARTTLS")
        client.close()
        told = attributes(recorder)
    assert told["sessionspan.end_reason"] == "tls_failed"


def test_a_look_at_the_port_of_implicit_tls_is_no_failure(recorder: Recorder) -> None:
    with serving(POP3Server, tls=TLS()) as server:
        server.connect().close()
        told = attributes(recorder)
    assert told["sessionspan.end_reason"] == "peer_eof"
    assert recorder.named("tls.failure") == []


def test_plaintext_to_implicit_tls_is_tls_failed(recorder: Recorder) -> None:
    with serving(POP3Server, tls=TLS()) as server:
        client = server.connect()
        client.send(b"USER alice\r\n")
        client.read_to(b"never")
        told = attributes(recorder)
    assert (told["sessionspan.end_reason"], told["sessionspan.tls.mode"]) == ("tls_failed", "implicit")


def test_an_encrypted_client_that_goes_without_goodbye_is_peer_eof(recorder: Recorder) -> None:
    with serving(POP3Server, tls=TLS()) as server:
        client = server.connect()
        client.encrypt()
        client.read_line()
        client.command(b"USER alice")
        client.close()
        assert attributes(recorder)["sessionspan.end_reason"] == "peer_eof"


# Proxies, wrappers, sockets.

V2 = b"\r\n\r\n\0\r\nQUIT\n"


@pytest.mark.parametrize(
    ("header", "protocol", "client"),
    [
        (b"PROXY TCP4 198.51.100.7 192.0.2.1 4444 25\r\n", "proxy_v1", "198.51.100.7"),
        (b"PROXY TCP6 2001:db8::7 2001:db8::1 4444 25\r\n", "proxy_v1", "2001:db8::7"),
        (b"PROXY UNKNOWN a b 1 2\r\n", "proxy_v1", None),
        (V2 + b"\x21\x11\0\x0c\xc6\x33\x64\x07\xc0\0\x02\x01\x11\x5c\0\x19", "proxy_v2", "198.51.100.7"),
        (V2 + b"\x21\0\0\0", "proxy_v2", None),
    ],
)
@KINDS
def test_behind_a_proxy_the_real_client_is_told(
    recorder: Recorder, kind: Any, header: bytes, protocol: str, client: str | None
) -> None:
    goodbye = b"1 LOGOUT\r\n" if kind is IMAPServer else b"QUIT\r\n"
    with serving(kind, proxied=True) as server:
        server.connect(header + goodbye).read_to(b"never")
        told = attributes(recorder)
    assert told["sessionspan.proxy.protocol"] == protocol
    assert told["sessionspan.proxy.address"] == told["network.peer.address"] == "127.0.0.1"
    assert told.get("client.address") == client
    assert told["sessionspan.end_reason"] == "quit"
    assert {event.attributes.get("client.address") for event in recorder.events} == {client}


def test_a_proxys_own_health_check_is_no_session(recorder: Recorder) -> None:
    with serving(POP3Server, proxied=True) as server:
        server.connect(V2 + b"\x20\0\0\0QUIT\r\n").read_to(b"never")
        server.connect(b"PROXY TCP4 198.51.100.7 192.0.2.1 4444 25\r\nQUIT\r\n").read_to(b"never")
        assert attributes(recorder)["client.address"] == "198.51.100.7"
    assert len(recorder.named("session.start")) == 1


def test_what_is_no_proxy_header_is_proxy_invalid(recorder: Recorder) -> None:
    with serving(POP3Server, proxied=True) as server:
        server.connect(b"GET / HTTP/1.0\r\n\r\n").read_to(b"never")
        told = attributes(recorder)
    assert told["sessionspan.end_reason"] == "proxy_invalid"
    assert "client.address" not in told


def test_starttls_behind_a_proxy_keeps_the_client(recorder: Recorder) -> None:
    with serving(ESMTPServer, proxied=True) as server:
        client = server.connect(b"PROXY TCP4 198.51.100.7 192.0.2.1 4444 25\r\n")
        client.read_line()
        client.smtp(b"EHLO c")
        assert client.smtp(b"STARTTLS").startswith(b"220")
        client.encrypt()
        client.smtp(b"EHLO c")
        client.smtp(b"QUIT")
        client.close()
        told = attributes(recorder)
    assert (told["client.address"], told["sessionspan.tls.mode"]) == ("198.51.100.7", "starttls")


def test_implicit_tls_within_a_proxied_connection_keeps_the_client(recorder: Recorder) -> None:
    with serving(POP3Server, proxied=True, tls=TLS()) as server:
        client = server.connect(b"PROXY TCP4 198.51.100.7 192.0.2.1 4444 995\r\n")
        client.encrypt()
        client.read_line()
        client.command(b"QUIT")
        client.close()
        told = attributes(recorder)
    assert (told["client.address"], told["sessionspan.tls.mode"]) == ("198.51.100.7", "implicit")


def test_an_ignored_client_is_no_session(recorder: Recorder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SESSIONSPAN_IGNORE_CLIENTS", "198.51.100.0/24")
    settings_module.reload()
    with serving(POP3Server, proxied=True) as server:
        server.connect(b"PROXY TCP4 198.51.100.7 192.0.2.1 4444 25\r\nQUIT\r\n").read_to(b"never")
        server.connect(b"PROXY TCP4 203.0.113.9 192.0.2.1 4444 25\r\nQUIT\r\n").read_to(b"never")
        assert attributes(recorder)["client.address"] == "203.0.113.9"


def test_a_unix_socket_has_no_client_address(recorder: Recorder, tmp_path: Path) -> None:
    with serving(POP3Server, path=str(tmp_path / "pop3")) as server:
        client = greeted(server)
        client.command(b"QUIT")
        told = attributes(recorder)
    assert told["network.transport"] == "unix"
    assert "client.address" not in told


def test_a_connection_behind_a_wrapper_is_heard(recorder: Recorder) -> None:
    with serving(POP3Server, wrapper=lambda factory: policies.ThrottlingFactory(factory, 5)) as server:
        client = greeted(server)
        client.command(b"USER alice")
        client.command(b"PASS " + SECRET)
        client.command(b"QUIT")
        told = attributes(recorder)
    assert (told["user.name"], told["sessionspan.end_reason"]) == ("alice", "quit")


# The application's code is in its session.


def test_the_application_runs_inside_the_session(recorder: Recorder) -> None:
    seen: list[Any] = []
    with serving(IMAPServer) as server:
        server.checker.seen = server.saw = lambda: seen.append(current_session())
        client = imaplib.IMAP4("127.0.0.1", server.port, timeout=10)
        client.login("alice", PASSWORD)
        client.select("INBOX")
        client.fetch("1", "(UID)")
        client.logout()
        told = attributes(recorder)
    assert [session.id for session in seen] == [told["sessionspan.session.id"]] * 2


class Elsewhere(pop3.POP3):
    """Looks where it is from a Deferred's callback, a later call and a thread."""

    def authenticateUserPASS(self, user: bytes, password: bytes) -> Any:
        seen: list[Any] = self.server.seen  # type: ignore[attr-defined]
        waits: Any = defer.Deferred()
        waits.addCallback(lambda ignored: seen.append(current_session()))
        waits.addCallback(lambda ignored: threads.deferToThread(lambda: seen.append(current_session())))
        waits.addCallbacks(lambda ignored: seen.append(current_session()), lambda failure: failure)
        waits.addBoth(lambda ignored: super(Elsewhere, self).authenticateUserPASS(user, password))

        def later() -> None:
            seen.append(current_session())
            loop.callInThread(loop.callFromThread, waits.callback, None)

        loop.callLater(0, later)
        return waits


def log_in_elsewhere(recorder: Recorder) -> tuple[list[Any], dict[str, Any]]:
    seen: list[Any] = []
    with serving(Elsewhere) as server:
        server.seen = seen  # type: ignore[attr-defined]
        client = greeted(server)
        client.command(b"USER alice")
        assert client.command(b"PASS " + SECRET).startswith(b"+OK")
        client.command(b"QUIT")
        told = attributes(recorder)
    assert told["user.name"] == "alice"
    return seen, told


@pytest.mark.usefixtures("carried")
def test_the_setting_carries_the_session_into_callbacks_later_calls_and_threads(recorder: Recorder) -> None:
    seen, told = log_in_elsewhere(recorder)
    assert [session.id for session in seen] == [told["sessionspan.session.id"]] * 4


def test_without_the_setting_they_have_no_session(recorder: Recorder) -> None:
    seen, _ = log_in_elsewhere(recorder)
    assert seen == [None] * 4


@pytest.mark.usefixtures("carried")
def test_what_is_carried_stays_in_its_own_session(recorder: Recorder) -> None:
    seen: list[Any] = []
    with serving(Elsewhere) as server:
        server.seen = seen  # type: ignore[attr-defined]
        clients = [greeted(server) for _ in range(5)]
        for client in clients:
            client.send(b"USER alice\r\nPASS " + SECRET + b"\r\n")
        for client in clients:
            client.read_to(b"+OK Auth")
        for client in clients:
            client.command(b"QUIT")
        told = [dict(span.attributes or {}) for span in recorder.wait_for_sessions(5)]
        assert in_reactor(current_session) is None
    ids = [str(each["sessionspan.session.id"]) for each in told]
    assert sorted(session.id for session in seen) == sorted(ids * 4)


def test_the_reactor_is_in_no_session_between_two_chunks(recorder: Recorder) -> None:
    with serving(POP3Server) as server:
        client = greeted(server)
        client.command(b"USER alice")
        assert in_reactor(current_session) is None
        client.close()
        recorder.wait_for_session()


# Many at once.


def test_two_hundred_sessions_at_once_do_not_mix(recorder: Recorder) -> None:
    def speak(server: Server, number: int) -> None:
        client = greeted(server)
        if number % 2:
            client.imap(b"1 LOGIN alice " + SECRET)
            client.imap(b"2 SELECT INBOX")
            client.send(b"3 FETCH 1 (BODY[])\r\n4 NOOP\r\n5 LOGOUT\r\n")
            client.reset() if number % 5 == 0 else client.read_to(b"5 ")
        else:
            client.command(b"USER alice")
            client.command(b"PASS " + SECRET)
            client.send(b"LIST\r\nRETR 1\r\nNOOP\r\nQUIT\r\n")
            client.reset() if number % 5 == 0 else client.read_to(b"never")

    with serving(POP3Server) as pop, serving(IMAPServer) as imap:
        with ThreadPoolExecutor(20) as pool:
            list(pool.map(lambda number: speak((pop, imap)[number % 2], number), range(200)))
        spans = recorder.wait_for_sessions(200, timeout=60)
    assert len(spans) == 200
    whole = [span for span in spans if (span.attributes or {})["sessionspan.end_reason"] == "quit"]
    assert len(whole) >= 160
    for span in whole:
        told = dict(span.attributes or {})
        names = [e["sessionspan.command.name"] for e in recorder.of(span) if e.name == "command"]
        expected = ["LOGIN", "SELECT", "FETCH", "NOOP", "LOGOUT"]
        assert names == (
            expected if told["protocol"] == "IMAP" else ["USER", "PASS", "LIST", "RETR", "NOOP", "QUIT"]
        )
        assert told["user.name"] == "alice"


EVIL = [
    b"\xff\xfe\0\0\r\n" * 10,
    b"\0" * 70_000 + b"\r\n",
    b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 500 + b"\r\n",
    b"\n" * 5000,
    b"\r\n" * 5000,
    b"a {99999999999999999999}\r\n" * 5,
    b"1 LOGIN {4097}\r\n1 LOGIN {3}\r\nabc {3}\r\nxyz\r\n",
    b"AUTH\r\nAUTH PLAIN\r\n*\r\nAUTH LOGIN\r\n\xff\r\nUSER\r\nPASS\r\nSTAT 1\r\n",
    b"1 AUTHENTICATE PLAIN\r\n\xff\xff\r\n1 IDLE\r\nx\r\n1 SEARCH (\r\n1 APPEND x {5}\r\nabcde\r\n",
    b"NOOP\r\n" * 3000,
]


@pytest.mark.parametrize("evil", range(len(EVIL)))
@KINDS
def test_whatever_a_client_sends_it_is_one_session_and_no_failure_of_ours(
    recorder: Recorder, kind: Any, evil: int
) -> None:
    with serving(kind) as server:
        client = greeted(server)
        with contextlib.suppress(OSError):
            client.send(EVIL[evil])
            client.socket.shutdown(1)
            while client.socket.recv(65536):
                pass
        client.close()
        recorder.wait_for_session()
    assert len(recorder.named("session.start")) == len(recorder.named("session.end")) == 1


# The process.


def test_a_session_of_which_nobody_is_told_costs_no_taps_and_still_is_current(recorder: Recorder) -> None:
    from opentelemetry._logs import NoOpLoggerProvider
    from opentelemetry.metrics import NoOpMeterProvider
    from opentelemetry.trace import NoOpTracerProvider

    TwistedPOP3Instrumentor().uninstrument()
    TwistedPOP3Instrumentor().instrument(
        tracer_provider=NoOpTracerProvider(),
        logger_provider=NoOpLoggerProvider(),
        meter_provider=NoOpMeterProvider(),
    )
    seen: list[Any] = []
    with serving(POP3Server) as server:
        server.checker.seen = lambda: seen.append(current_session())
        client = greeted(server)
        assert "lineReceived" not in vars(server.protocols[0])
        client.command(b"USER alice")
        client.command(b"PASS " + SECRET)
        client.command(b"QUIT")
    assert seen[0].client_ip == "127.0.0.1"


def test_each_protocol_can_be_switched_off_alone(recorder: Recorder) -> None:
    TwistedPOP3Instrumentor().uninstrument()
    with serving(POP3Server) as pop, serving(IMAPServer) as imap:
        client = greeted(pop)
        client.command(b"QUIT")
        other = greeted(imap)
        other.imap(b"1 LOGIN alice " + SECRET)
        other.imap(b"2 LOGOUT")
        told = attributes(recorder)
    assert (told["protocol"], told["user.name"]) == ("IMAP", "alice")  # what they share is still there


def test_what_they_share_goes_with_the_last_of_them(recorder: Recorder) -> None:
    from twisted.cred.portal import Portal

    for kind in INSTRUMENTORS:
        assert hasattr(Portal.login, "__wrapped__")
        assert not hasattr(Portal.login.__wrapped__, "__wrapped__")
        kind().uninstrument()
    assert not hasattr(Portal.login, "__wrapped__")


def test_a_class_between_a_subclass_and_the_library_is_still_called(recorder: Recorder) -> None:
    from twisted.internet.protocol import Protocol

    called: list[str] = []

    class Between(Protocol):
        def makeConnection(self, transport: Any) -> None:
            called.append("makeConnection")
            super().makeConnection(transport)

    class Diamond(pop3.POP3, Between):
        pass

    with serving(Diamond) as server:
        greeted(server).close()
        recorder.wait_for_session()
    assert called == ["makeConnection"]


PROGRAM = """
import socket, sys, threading
from sessionspan.testing import Recorder
from sessionspan_twisted import TwistedIMAPInstrumentor, TwistedPOP3Instrumentor, TwistedSMTPInstrumentor
recorder = Recorder()
for kind in (TwistedIMAPInstrumentor, TwistedPOP3Instrumentor, TwistedSMTPInstrumentor):
    kind().instrument(tracer_provider=recorder.tracer_provider, logger_provider=recorder.logger_provider)
assert "twisted.internet.reactor" not in sys.modules
from twisted.internet import asyncioreactor
asyncioreactor.install()
from twisted.internet import reactor, protocol
from twisted.mail import imap4, pop3, smtp
factory = protocol.ServerFactory()
factory.protocol = pop3.POP3
port = reactor.listenTCP(0, factory, interface="127.0.0.1")
def client():
    connection = socket.create_connection(("127.0.0.1", port.getHost().port))
    connection.recv(1000)
    connection.sendall(b"USER x\\r\\n")
    connection.recv(1000)
    reactor.callFromThread(reactor.stop)
    connection.recv(1000)
reactor.callWhenRunning(threading.Thread(target=client).start)
reactor.run()
told = recorder.wait_for_session().attributes
print(type(reactor).__name__, told["sessionspan.end_reason"], told["sessionspan.command.count"])
"""


def test_importing_us_leaves_the_choice_of_the_reactor_and_its_stop_is_shutdown() -> None:
    for context in ("off", "on"):
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM],
            capture_output=True,
            text=True,
            env={"PATH": "/usr/bin:/bin", "SESSIONSPAN_RAISE": "on", "SESSIONSPAN_TWISTED_CONTEXT": context},
        )
        assert done.stdout == "AsyncioSelectorReactor shutdown 1\n", done.stderr
