"""No credential leaves the sessions of twisted.mail: every way to send one, looked for in every exported byte."""

from __future__ import annotations

import base64
import contextlib
import logging
from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry.exporter.otlp.proto.common._log_encoder import encode_logs
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.instrumentation.logging.handler import LoggingHandler
from twisted.logger import Logger
from twisted.python import log

from sessionspan import settings as settings_module
from sessionspan.testing import Recorder
from sessionspan_twisted import TwistedIMAPInstrumentor, TwistedPOP3Instrumentor, TwistedSMTPInstrumentor
from tests.canary import found_in
from tests.exported import Exported
from tests.instrumentation.kit_twisted import (
    PASSWORD,
    SECRET,
    Boom,
    Client,
    ESMTPServer,
    IMAPServer,
    POP3Server,
    Server,
    ServerFactory,
    in_reactor,
    serving,
)

B64 = base64.b64encode
PLAIN = B64(b"\0bob\0" + SECRET)
GOOD = B64(b"\0alice\0" + SECRET)
INSTRUMENTORS = (TwistedSMTPInstrumentor, TwistedPOP3Instrumentor, TwistedIMAPInstrumentor)


@pytest.fixture(params=["twisted", "mail-server"])
def exported(recorder: Recorder, request: pytest.FixtureRequest) -> Iterator[Exported]:
    """Twisted's log goes to stdlib's, by a name of the application's choice; all of that at DEBUG to OTel."""
    kept = Exported()
    recorder.logger_provider.add_log_record_processor(kept)
    for kind in INSTRUMENTORS:
        kind().instrument(tracer_provider=recorder.tracer_provider, logger_provider=recorder.logger_provider)
    handler = LoggingHandler(logger_provider=recorder.logger_provider)
    root = logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    observer = log.PythonLoggingObserver(request.param)
    in_reactor(observer.start)
    yield kept
    in_reactor(observer.stop)
    root.removeHandler(handler)
    root.setLevel(level)
    for kind in INSTRUMENTORS:
        kind().uninstrument()


SMTP_WAYS: dict[str, list[bytes]] = {
    "plain, refused": [b"AUTH PLAIN " + B64(b"\0mallory\0" + SECRET)],
    "plain, accepted": [b"AUTH PLAIN " + GOOD],
    "plain, continued": [b"AUTH PLAIN", PLAIN],
    "plain with authzid": [b"AUTH PLAIN " + B64(b"carol\0bob\0" + SECRET)],
    "plain, malformed": [b"AUTH PLAIN", SECRET],
    "plain, not split": [b"AUTH PLAIN " + B64(SECRET)],
    "plain, odd spaces": [b" \tAUTH\tPLAIN\t" + PLAIN],
    "login": [b"AUTH LOGIN", B64(b"bob"), B64(SECRET)],
    "login, plain text": [b"AUTH LOGIN", b"bob", SECRET],
    "login, cancelled, password too late": [b"AUTH LOGIN", b"*", B64(SECRET)],
    "cram-md5, the password itself": [b"AUTH CRAM-MD5", B64(b"bob " + SECRET)],
    "unknown mechanism": [b"AUTH X-NONE " + B64(SECRET)],
    "the mechanism is the password": [b"AUTH " + B64(SECRET)],
    "a bare password": [SECRET, B64(SECRET), PLAIN],
    "not ASCII, and the password": [b"\xff" + SECRET],
    "a line too long": [SECRET * 1000],
}
POP3_WAYS: dict[str, list[bytes]] = {
    "user and pass": [b"USER alice", b"PASS " + SECRET],
    "user and pass, refused": [b"USER mallory", b"PASS " + SECRET],
    "pass with spaces": [b"USER bob", b"PASS a " + SECRET + b" b"],
    "pass without user": [b"PASS " + SECRET],
    "pass in lower case": [b"USER bob", b"pass " + SECRET],
    "apop": [b"APOP bob " + SECRET],
    "apop without a name": [b"APOP " + SECRET],
    "cram-md5": [b"AUTH CRAM-MD5", B64(b"bob " + SECRET)],
    "cram-md5, malformed": [b"AUTH CRAM-MD5", SECRET],
    "a mechanism that is not there": [b"AUTH PLAIN", PLAIN],
    "initial response": [b"AUTH PLAIN " + PLAIN],
    "the mechanism is the password": [b"AUTH " + SECRET],
    "a bare password": [SECRET],
    "a bare password, and more": [SECRET + b" " + SECRET],
    "password as argument": [b"RETR " + SECRET, b"STAT " + SECRET, b"CAPA " + SECRET],
    "password as number": [b"USER alice", b"PASS " + SECRET, b"RETR " + SECRET, b"TOP " + SECRET + b" 1"],
    "lone line feeds": [b"USER bob\nPASS " + SECRET],
    "tab": [b"PASS\t" + SECRET],
    "not ASCII, and the password": [b"\xff" + SECRET],
}
IMAP_WAYS: dict[str, list[bytes]] = {
    "login, atoms": [b"1 LOGIN alice " + SECRET],
    "login, refused": [b"1 LOGIN mallory " + SECRET],
    "login, quoted": [b'1 LOGIN "alice" "' + SECRET + b'"'],
    "login, quoted wrongly": [b'1 LOGIN "alice" "' + SECRET],
    "login, literals": [b"1 LOGIN {5}", b"alice {%d}" % len(SECRET), SECRET],
    "login, literal password": [b"1 LOGIN alice {%d}" % len(SECRET), SECRET],
    "login, literal+": [b"1 LOGIN alice {%d+}" % len(SECRET), SECRET, SECRET],
    "login, one argument": [b"1 LOGIN " + SECRET],
    "login, too many": [b"1 LOGIN alice x " + SECRET],
    "login, bad literal": [b"1 LOGIN {x} " + SECRET, b"1 LOGIN {" + SECRET + b"}"],
    "login, odd spaces": [b"1\tLOGIN\tbob " + SECRET],
    "plain": [b"1 AUTHENTICATE PLAIN", GOOD],
    "plain, refused": [b"1 AUTHENTICATE PLAIN", B64(b"\0mallory\0" + SECRET)],
    "plain, initial": [b"1 AUTHENTICATE PLAIN " + PLAIN],
    "plain, malformed": [b"1 AUTHENTICATE PLAIN", SECRET, SECRET],
    "login mechanism": [b"1 AUTHENTICATE LOGIN", B64(b"alice"), B64(SECRET)],
    "cram-md5": [b"1 AUTHENTICATE CRAM-MD5", B64(b"bob " + SECRET)],
    "unknown mechanism": [b"1 AUTHENTICATE " + SECRET],
    "a bare password": [SECRET, b"1 " + SECRET, SECRET + b" LOGIN x"],
    "not ASCII, and the password": [b"1 \xff" + SECRET],
    "password as argument": [b"1 LOGIN alice " + SECRET, b"2 SELECT " + SECRET, b"3 SEARCH (" + SECRET],
}


def speak(client: Client, lines: list[bytes]) -> None:
    client.socket.settimeout(0.05)
    for line in lines:
        with contextlib.suppress(OSError):
            client.send(line + b"\r\n")
            while client.socket.recv(65536):
                pass
    client.close()


def wire(recorder: Recorder, exported: Exported) -> bytes:
    spans, logs = encode_spans(recorder.spans), encode_logs(exported.records)
    return bytes(spans.SerializeToString() + logs.SerializeToString())


@pytest.mark.parametrize(
    ("kind", "way"),
    [
        *((ESMTPServer, way) for way in SMTP_WAYS),
        *((POP3Server, way) for way in POP3_WAYS),
        *((IMAPServer, way) for way in IMAP_WAYS),
    ],
)
def test_no_credential_leaves(
    recorder: Recorder, exported: Exported, kind: Any, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SESSIONSPAN_CAPTURE", "content")
    settings_module.reload()
    ways = {ESMTPServer: SMTP_WAYS, POP3Server: POP3_WAYS, IMAPServer: IMAP_WAYS}[kind]
    with serving(kind) as server:
        speak(server.connect(), ways[way])
        recorder.wait_for_session()
        in_reactor(log.msg, "what the application says")
    found = wire(recorder, exported)
    assert b"session.end" in found  # the haystack is the real one
    assert b"what the application says" in found
    assert found_in(found, [SECRET]) == []
    assert found_in(recorder.everything().encode(), [SECRET]) == []


def raise_in(server: Server, kind: Any, late: bool) -> None:
    client = server.connect()
    client.read_line()
    server.checker.late = late
    if not late:
        server.checker.raises = Boom(f"with {PASSWORD}")
    client.send(
        {
            ESMTPServer: b"AUTH PLAIN " + PLAIN,
            POP3Server: b"USER bob\r\nPASS x",
            IMAPServer: b"1 LOGIN bob x",
        }[kind]
        + b"\r\n"
    )
    if late:
        while not server.checker.waiting:
            in_reactor(lambda: None)
        waits, _ = server.checker.waiting.pop()
        in_reactor(waits.errback, Boom(f"with {PASSWORD}"))
    client.read_to(b"451", b"-ERR", b"1 BAD")
    client.close()


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("kind", [ESMTPServer, POP3Server, IMAPServer])
def test_what_a_checker_raises_is_logged_and_not_exported(
    recorder: Recorder, exported: Exported, kind: Any, late: bool, caplog: pytest.LogCaptureFixture
) -> None:
    with serving(kind) as server:
        raise_in(server, kind, late)
        recorder.wait_for_session()
    assert PASSWORD in caplog.text  # the application's own handlers get it as ever
    assert found_in(wire(recorder, exported), [SECRET]) == []


def test_failures_of_the_application_itself_are_exported(recorder: Recorder, exported: Exported) -> None:
    def fail() -> None:
        with contextlib.suppress(Boom):
            work()

    def work() -> None:
        try:
            raise Boom("of the application's own")
        except Boom:
            log.err()
            Logger("shop").failure("it failed")

    in_reactor(fail)
    assert wire(recorder, exported).count(b"of the application's own") >= 2


def test_the_librarys_own_lines_obey_the_classes(
    recorder: Recorder, exported: Exported, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ServerFactory, "noisy", True)
    lines = ("New connection from", "Authenticated login for", "Receiving message")
    for identity, envelope, expected in (("plain", "plain", 3), ("plain", "off", 2), ("off", "plain", 0)):
        exported.records.clear()
        monkeypatch.setenv("SESSIONSPAN_IDENTITY", identity)
        monkeypatch.setenv("SESSIONSPAN_ENVELOPE", envelope)
        settings_module.reload()
        with serving(POP3Server) as pop, serving(ESMTPServer) as mail:
            log_in(pop, mail)
        text = str([record.log_record.body for record in exported.records])
        assert sum(line in text for line in lines) == expected, text


def log_in(pop: Server, mail: Server) -> None:
    client = pop.connect()
    client.read_line()
    client.command(b"USER alice")
    client.command(b"PASS " + SECRET)
    client.close()
    client = mail.connect()
    client.read_line()
    for line in (b"EHLO c", b"AUTH PLAIN " + GOOD, b"MAIL FROM:<a@x>", b"RCPT TO:<b@x>", b"DATA"):
        client.smtp(line)
    client.close()
