"""Real IMAP clients speak to pymap, instrumented or as somebody's own server: one session each, told as it was."""

from __future__ import annotations

import base64
import functools
import imaplib
import socket
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from sessionspan import own, stream_session
from sessionspan.testing import Recorder
from sessionspan_pymap import PymapInstrumentor
from tests import kit_crowd, kit_evil
from tests.canary import found_in
from tests.instrumentation.kit_pymap_streams import serving
from tests.kit_clients import PATIENCE, Place, curl, fetchmail, mbsync
from tests.kit_servers import AUTHORITY, client_context, serve_pop3, streams

PASSWORD = "CanaryPassw0rd-7f3a"
MESSAGES = 4  # in the demo's INBOX
PROVIDERS = ("tracer_provider", "logger_provider", "meter_provider")

WRAPS: dict[str, Callable[[Any], Any]] = {
    "sessionspan_pymap": lambda callback: callback,
    "stream_session": stream_session("imap"),
}


@pytest.fixture(params=WRAPS)
def wrap(request: pytest.FixtureRequest, recorder: Recorder) -> Iterator[Callable[[Any], Any]]:
    providers = (recorder.tracer_provider, recorder.logger_provider, recorder.meter_provider)
    if request.param == "stream_session":
        own.SCOPE.bind(*providers)
        yield WRAPS[request.param]
        own.SCOPE.unbind()
        return
    PymapInstrumentor().instrument(**dict(zip(PROVIDERS, providers, strict=True)))
    yield WRAPS[request.param]
    PymapInstrumentor().uninstrument()


class Told(NamedTuple):
    """What the one session of a test is to be."""

    mechanism: str | None = None
    tls: str = "none"
    outcome: str = "ok"
    end_reason: str = "quit"


def imaplib_works(client: imaplib.IMAP4) -> None:
    assert client.select("INBOX") == ("OK", [b"%d" % MESSAGES])
    assert client.fetch("1:*", "(FLAGS BODY[])")[0] == "OK"
    assert client.append("Sent", "(\\Seen)", "", b"Subject: hi\r\n\r\n9 OK forged\r\n")[0] == "OK"
    client.logout()


def with_imaplib(place: Place) -> None:
    client = imaplib.IMAP4("127.0.0.1", place.port, timeout=PATIENCE)
    client.login(place.user, place.password)
    imaplib_works(client)


def with_imaplib_starttls(place: Place) -> None:
    client = imaplib.IMAP4("localhost", place.port, timeout=PATIENCE)
    client.starttls(client_context())
    client.authenticate("PLAIN", lambda _: f"\0{place.user}\0{place.password}".encode())
    imaplib_works(client)


def imaplib_idles(place: Place) -> None:
    client = imaplib.IMAP4("127.0.0.1", place.port, timeout=PATIENCE)
    client.login(place.user, place.password)
    client.select("INBOX")
    client.send(b"7 IDLE\r\n")
    assert client.readline().startswith(b"+")
    client.send(b"DONE\r\n")
    assert client.readline().startswith(b"7 OK")
    imaplib_works(client)


def imaplib_is_refused(place: Place) -> None:
    client = imaplib.IMAP4("127.0.0.1", place.port, timeout=PATIENCE)
    with pytest.raises(imaplib.IMAP4.error):
        client.login(place.user, "wrong")
    client.logout()


def imaplib_breaks_off(place: Place) -> None:
    client = imaplib.IMAP4("127.0.0.1", place.port, timeout=PATIENCE)
    client.login(place.user, place.password)
    client.send(b"7 APPEND INBOX {1000+}\r\nhalf of it")
    connection: Any = client.sock
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.file.close()
    connection.close()


def with_curl(*options: str) -> Callable[[Place], None]:
    def speak(place: Place) -> None:
        assert b"\r\nSubject: " in curl(place, "imap://localhost:{port}/INBOX;MAILINDEX=1", *options)

    return speak


def with_fetchmail(*options: str) -> Callable[[Place], None]:
    def speak(place: Place) -> None:
        assert fetchmail(place, "imap", "password", *options).count(b"\nSubject: ") == MESSAGES

    return speak


def with_mbsync(*lines: str) -> Callable[[Place], None]:
    def speak(place: Place) -> None:
        assert len(mbsync(place, *lines)) == MESSAGES

    return speak


CASES: dict[str, tuple[Callable[[Place], None], Told]] = {
    "imaplib": (with_imaplib, Told()),
    "imaplib, STARTTLS": (with_imaplib_starttls, Told("PLAIN", "starttls")),
    "imaplib, IDLE": (imaplib_idles, Told()),
    "imaplib, refused": (imaplib_is_refused, Told(outcome="auth_failed")),
    "imaplib breaks off": (imaplib_breaks_off, Told(outcome="aborted", end_reason="peer_reset")),
    "curl": (with_curl(), Told("PLAIN")),
    "curl, STARTTLS": (with_curl("--ssl-reqd"), Told("PLAIN", "starttls")),
    "fetchmail": (with_fetchmail("sslproto ''"), Told()),
    "fetchmail, STARTTLS": (with_fetchmail('sslproto "TLS1.2+"'), Told(tls="starttls")),
    "mbsync": (with_mbsync("SSLType None", "AuthMechs LOGIN"), Told()),
    "mbsync, STARTTLS": (with_mbsync("SSLType STARTTLS", "AuthMechs PLAIN"), Told("PLAIN", "starttls")),
}


@pytest.mark.peer
@pytest.mark.parametrize("client", CASES)
def test_the_session_of_a_real_client_is_one_and_is_told_as_it_was(
    client: str, wrap: Callable[[Any], Any], recorder: Recorder, tmp_path: Path
) -> None:
    speak, told = CASES[client]
    authority = tmp_path / "authority.pem"
    AUTHORITY.cert_pem.write_to_path(str(authority))
    with serving(wrap, PASSWORD) as server:
        speak(Place(server.port, tmp_path, authority, password=PASSWORD))
        span = recorder.wait_for_session()
    attributes = dict(span.attributes or {})
    assert (span.name, attributes["network.protocol.name"]) == ("IMAP session", "imap")
    assert attributes["client.address"] == "127.0.0.1"
    found = (
        attributes["sessionspan.tls.mode"],
        attributes["sessionspan.outcome"],
        attributes["sessionspan.end_reason"],
    )
    assert found == told[1:]
    refused = told.outcome == "auth_failed"
    login = recorder.named("auth.failure" if refused else "auth.success")[0]
    assert login.attributes.get("sessionspan.auth.mechanism") == told.mechanism
    assert attributes.get("user.name") == attributes.get("username") == (None if refused else "alice")
    assert {event.session_id for event in recorder.events} == {attributes["session_id"]}
    secrets = [PASSWORD.encode(), base64.b64encode(f"\0alice\0{PASSWORD}".encode())]
    assert found_in(recorder.everything().encode(), secrets) == []


def test_a_hundred_of_its_sessions_and_a_hundred_of_ones_own_mix_nothing(recorder: Recorder) -> None:
    providers = (recorder.tracer_provider, recorder.logger_provider, recorder.meter_provider)
    PymapInstrumentor().instrument(**dict(zip(PROVIDERS, providers, strict=True)))
    own.SCOPE.bind(*providers)
    pop3 = stream_session("pop3")(functools.partial(serve_pop3, password=PASSWORD.encode()))
    try:
        with (
            streams(pop3, backlog=200) as pop3_server,
            serving(lambda each: each, PASSWORD, backlog=200) as server,
        ):
            kit_crowd.speak(pop3_server.port, server.port, recorder, password=PASSWORD)
    finally:
        own.SCOPE.unbind()
        PymapInstrumentor().uninstrument()
    kit_crowd.check(recorder)
    kit_crowd.check_nothing_is_left(recorder)


@pytest.mark.parametrize("evil", kit_evil.IMAP)
def test_an_evil_client_gets_what_it_would_get_without_us(evil: str, recorder: Recorder) -> None:
    said = kit_evil.IMAP[evil]
    with serving(lambda each: each, PASSWORD) as bare:
        expected = kit_evil.converse(bare.port, said)
    PymapInstrumentor().instrument(**{name: getattr(recorder, name) for name in PROVIDERS})
    try:
        with serving(lambda each: each, PASSWORD) as ours:
            assert kit_evil.converse(ours.port, said) == expected
            attributes = dict(recorder.wait_for_session().attributes or {})
    finally:
        PymapInstrumentor().uninstrument()
    assert [type(error) for error in ours.errors] == [type(error) for error in bare.errors]
    assert attributes["sessionspan.sent.size"] == len(expected)
    assert (recorder.transcript()[0], recorder.transcript()[-1]) == ("session.start", "session.end")
    assert "\x1b" not in recorder.everything()
