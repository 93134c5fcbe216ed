"""Real POP3 and IMAP clients speak to servers that people wrote themselves: one session each, told as it was."""

from __future__ import annotations

import asyncio
import base64
import imaplib
import poplib
import socket
import struct
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from sessionspan import handler_session, own, stream_session
from sessionspan.testing import Recorder
from tests import kit_imap
from tests.canary import found_in
from tests.kit_clients import PATIENCE, Place, curl, fetchmail
from tests.kit_imap import IMAPHandler, serve_imap
from tests.kit_servers import (
    AUTHORITY,
    BarePOP3Handler,
    POP3Handler,
    client_context,
    serve_pop3,
    server_context,
    serving,
    streams,
)

MAIL = b"Subject: hi\r\nMessage-ID: <hi@mail.example>\r\n\r\nhello\r\n.stuffed\r\n"
HAS_START_TLS = hasattr(asyncio.StreamWriter, "start_tls")


@pytest.fixture(autouse=True)
def recorded(recorder: Recorder) -> Iterator[None]:
    own.SCOPE.bind(recorder.tracer_provider, recorder.logger_provider, recorder.meter_provider)
    yield
    own.SCOPE.unbind()


def of_its_own(handler: type) -> type:
    return type(handler.__name__, (handler,), {})


SERVERS: dict[str, dict[str, Callable[..., AbstractContextManager[Any]]]] = {
    "pop3": {
        "asyncio": lambda **tls: streams(stream_session("pop3")(serve_pop3), **tls),
        "socketserver": lambda **tls: serving(handler_session("pop3")(of_its_own(POP3Handler)), tls.get("ssl")),
        "bare sockets": lambda **tls: serving(
            handler_session("pop3")(of_its_own(BarePOP3Handler)), tls.get("ssl")
        ),
    },
    "imap": {
        "asyncio": lambda **tls: streams(stream_session("imap")(serve_imap), **tls),
        "socketserver": lambda **tls: serving(handler_session("imap")(of_its_own(IMAPHandler)), tls.get("ssl")),
    },
}


class Told(NamedTuple):
    """What the one session of a test is to be."""

    mechanism: str | None = None
    tls: str = "none"
    outcome: str = "ok"
    end_reason: str = "quit"


class Case(NamedTuple):
    """A real client, what it does, and what is to be told of it."""

    protocol: str
    speak: Callable[[Place], None]
    told: Told


# POP3


def poplib_reads(client: poplib.POP3) -> None:
    assert client.stat() == (1, 20)
    assert client.uidl()[1] == [b"1 uid-of-1"]
    assert b"\r\n".join(client.retr(1)[1]) + b"\r\n" == MAIL
    client.quit()


def with_poplib(place: Place) -> None:
    client = poplib.POP3("127.0.0.1", place.port, timeout=PATIENCE)
    client.user(place.user)
    client.pass_(place.password)
    poplib_reads(client)


def with_poplib_apop(place: Place) -> None:
    client = poplib.POP3("127.0.0.1", place.port, timeout=PATIENCE)
    client.apop(place.user, place.password)
    poplib_reads(client)


def with_poplib_stls(place: Place) -> None:
    client = poplib.POP3("localhost", place.port, timeout=PATIENCE)
    client.stls(client_context())
    client.user(place.user)
    client.pass_(place.password)
    poplib_reads(client)


def with_poplib_tls(place: Place) -> None:
    client = poplib.POP3_SSL("localhost", place.port, timeout=PATIENCE, context=client_context())
    client.user(place.user)
    client.pass_(place.password)
    poplib_reads(client)


def poplib_is_refused(place: Place) -> None:
    client = poplib.POP3("127.0.0.1", place.port, timeout=PATIENCE)
    client.user(place.user)
    with pytest.raises(poplib.error_proto):
        client.pass_("wrong")
    client.quit()


def resets(client: Any) -> None:
    connection = client.sock
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.file.close()
    connection.close()


def poplib_breaks_off(place: Place) -> None:
    client = poplib.POP3("127.0.0.1", place.port, timeout=PATIENCE)
    client.user(place.user)
    client.pass_(place.password)
    client.dele(1)
    resets(client)


def curl_pop3(*options: str, scheme: str = "pop3") -> Callable[[Place], None]:
    def speak(place: Place) -> None:
        assert curl(place, scheme + "://localhost:{port}/1", *options) == MAIL

    return speak


def curl_pop3_is_refused(place: Place) -> None:
    curl(place, "pop3://localhost:{port}/", password="wrong", good=(67,))


def fetchmail_pop3(auth: str, *options: str) -> Callable[[Place], None]:
    def speak(place: Place) -> None:
        assert b"\n.stuffed\n" in fetchmail(place, "pop3", auth, *options)

    return speak


# IMAP


def imaplib_works(client: imaplib.IMAP4) -> None:
    assert client.select("INBOX") == ("OK", [b"1"])
    _, data = client.fetch("1", "(BODY[])")
    assert isinstance(data[0], tuple)
    assert data[0][1] == kit_imap.MESSAGE
    assert client.append("Sent", "(\\Seen)", "", b"Subject: hi\r\n\r\n9 OK forged\r\n")[0] == "OK"
    assert client.expunge() == ("OK", [b"1"])
    client.logout()


def with_imaplib(place: Place) -> None:
    client = imaplib.IMAP4("127.0.0.1", place.port, timeout=PATIENCE)
    client.login(place.user, place.password)
    imaplib_works(client)


def with_imaplib_literals(place: Place) -> None:
    client = imaplib.IMAP4("127.0.0.1", place.port, timeout=PATIENCE)
    for line, answer in (
        (b"1 LOGIN {%d}\r\n" % len(place.user), b"+"),
        (place.user.encode() + b" {%d+}\r\n" % len(place.password) + place.password.encode() + b"\r\n", b"1 OK"),
    ):
        client.send(line)
        assert client.readline().startswith(answer)
    client.state = "AUTH"
    imaplib_works(client)


def with_imaplib_cram_md5(place: Place) -> None:
    client = imaplib.IMAP4("127.0.0.1", place.port, timeout=PATIENCE)
    client.login_cram_md5(place.user, place.password)
    imaplib_works(client)


def with_imaplib_plain(place: Place) -> None:
    client = imaplib.IMAP4("127.0.0.1", place.port, timeout=PATIENCE)
    client.authenticate("PLAIN", lambda _: f"\0{place.user}\0{place.password}".encode())
    imaplib_works(client)


def with_imaplib_starttls(place: Place) -> None:
    client = imaplib.IMAP4("localhost", place.port, timeout=PATIENCE)
    client.starttls(client_context())
    client.login(place.user, place.password)
    imaplib_works(client)


def with_imaplib_tls(place: Place) -> None:
    client = imaplib.IMAP4_SSL("localhost", place.port, ssl_context=client_context(), timeout=PATIENCE)
    client.login(place.user, place.password)
    imaplib_works(client)


def imaplib_idles(place: Place) -> None:
    client = imaplib.IMAP4("127.0.0.1", place.port, timeout=PATIENCE)
    client.login(place.user, place.password)
    client.send(b"7 IDLE\r\n")
    assert client.readline().startswith(b"+")
    assert client.readline() == b"* 2 EXISTS\r\n"
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
    resets(client)


def curl_imap(*options: str, scheme: str = "imap") -> Callable[[Place], None]:
    def speak(place: Place) -> None:
        assert curl(place, scheme + "://localhost:{port}/INBOX;MAILINDEX=1", *options) == kit_imap.MESSAGE

    return speak


def curl_imap_is_refused(place: Place) -> None:
    curl(place, "imap://localhost:{port}/INBOX", password="wrong", good=(67,))


REFUSED = Told(outcome="auth_failed")
BROKEN_OFF = Told(outcome="aborted", end_reason="peer_reset")
CASES: dict[str, Case] = {
    "poplib": Case("pop3", with_poplib, Told()),
    "poplib, APOP": Case("pop3", with_poplib_apop, Told("APOP")),
    "poplib, STLS": Case("pop3", with_poplib_stls, Told(tls="starttls")),
    "poplib, TLS": Case("pop3", with_poplib_tls, Told(tls="implicit")),
    "poplib, refused": Case("pop3", poplib_is_refused, REFUSED),
    "poplib breaks off": Case("pop3", poplib_breaks_off, BROKEN_OFF),
    "curl pop3, CRAM-MD5": Case("pop3", curl_pop3(), Told("CRAM-MD5")),
    "curl pop3, PLAIN": Case("pop3", curl_pop3("--login-options", "AUTH=PLAIN"), Told("PLAIN")),
    "curl pop3, PLAIN, initial": Case(
        "pop3", curl_pop3("--login-options", "AUTH=PLAIN", "--sasl-ir"), Told("PLAIN")
    ),
    "curl pop3, LOGIN": Case("pop3", curl_pop3("--login-options", "AUTH=LOGIN"), Told("LOGIN")),
    "curl pop3, XOAUTH2": Case("pop3", curl_pop3("--oauth2-bearer", "secret", "--sasl-ir"), Told("XOAUTH2")),
    "curl pop3, APOP": Case("pop3", curl_pop3("--login-options", "AUTH=+APOP"), Told("APOP")),
    "curl pop3, STLS": Case("pop3", curl_pop3("--ssl-reqd"), Told("CRAM-MD5", "starttls")),
    "curl pop3, TLS": Case("pop3", curl_pop3(scheme="pop3s"), Told("CRAM-MD5", "implicit")),
    "curl pop3, refused": Case("pop3", curl_pop3_is_refused, Told("CRAM-MD5", outcome="auth_failed")),
    "fetchmail pop3": Case("pop3", fetchmail_pop3("password", "sslproto ''"), Told()),
    "fetchmail pop3, STLS": Case("pop3", fetchmail_pop3("password", 'sslproto "TLS1.2+"'), Told(tls="starttls")),
    "fetchmail pop3, TLS": Case("pop3", fetchmail_pop3("password", "ssl"), Told(tls="implicit")),
    "imaplib": Case("imap", with_imaplib, Told()),
    "imaplib, literals": Case("imap", with_imaplib_literals, Told()),
    "imaplib, CRAM-MD5": Case("imap", with_imaplib_cram_md5, Told("CRAM-MD5")),
    "imaplib, PLAIN": Case("imap", with_imaplib_plain, Told("PLAIN")),
    "imaplib, STARTTLS": Case("imap", with_imaplib_starttls, Told(tls="starttls")),
    "imaplib, TLS": Case("imap", with_imaplib_tls, Told(tls="implicit")),
    "imaplib, IDLE": Case("imap", imaplib_idles, Told()),
    "imaplib, refused": Case("imap", imaplib_is_refused, REFUSED),
    "imaplib breaks off": Case("imap", imaplib_breaks_off, BROKEN_OFF),
    "curl imap, CRAM-MD5": Case("imap", curl_imap(), Told("CRAM-MD5")),
    "curl imap, PLAIN": Case("imap", curl_imap("--login-options", "AUTH=PLAIN"), Told("PLAIN")),
    "curl imap, PLAIN, initial": Case(
        "imap", curl_imap("--login-options", "AUTH=PLAIN", "--sasl-ir"), Told("PLAIN")
    ),
    "curl imap, LOGIN mechanism": Case("imap", curl_imap("--login-options", "AUTH=LOGIN"), Told("LOGIN")),
    "curl imap, XOAUTH2": Case("imap", curl_imap("--oauth2-bearer", "secret", "--sasl-ir"), Told("XOAUTH2")),
    "curl imap, STARTTLS": Case("imap", curl_imap("--ssl-reqd"), Told("CRAM-MD5", "starttls")),
    "curl imap, TLS": Case("imap", curl_imap(scheme="imaps"), Told("CRAM-MD5", "implicit")),
    "curl imap, refused": Case("imap", curl_imap_is_refused, Told("CRAM-MD5", outcome="auth_failed")),
}


def runs() -> Iterator[Any]:
    for name, case in CASES.items():
        for kind in SERVERS[case.protocol]:
            if case.told.tls != "starttls" or (kind == "asyncio" and HAS_START_TLS):
                yield pytest.param(case, kind, id=f"{name}-{kind}")


@pytest.mark.peer
@pytest.mark.parametrize(("case", "kind"), [*runs()])
def test_the_session_of_a_real_client_is_one_and_is_told_as_it_was(
    case: Case, kind: str, recorder: Recorder, tmp_path: Path
) -> None:
    authority = tmp_path / "authority.pem"
    AUTHORITY.cert_pem.write_to_path(str(authority))
    tls = {"ssl": server_context()} if case.told.tls == "implicit" else {}
    with SERVERS[case.protocol][kind](**tls) as server:
        case.speak(Place(server.port, tmp_path, authority))
        span = recorder.wait_for_session()
    attributes = dict(span.attributes or {})
    assert span.name == f"{case.protocol.upper()} session"
    assert (attributes["client.address"], attributes["network.protocol.name"]) == ("127.0.0.1", case.protocol)
    end_reason = attributes["sessionspan.end_reason"]
    assert (attributes["sessionspan.tls.mode"], attributes["sessionspan.outcome"]) == case.told[1:3]
    # A curl that was refused does not say goodbye.
    assert end_reason in (case.told.end_reason, *["peer_eof"] * (case.told.outcome == "auth_failed"))
    login = recorder.named("auth.failure" if case.told.outcome == "auth_failed" else "auth.success")[0]
    assert login.attributes.get("sessionspan.auth.mechanism") == case.told.mechanism
    assert login["sessionspan.auth.user.name"] == "alice"
    accepted = None if case.told.outcome == "auth_failed" else "alice"
    assert attributes.get("user.name") == attributes.get("username") == accepted
    assert {event.session_id for event in recorder.events} == {attributes["session_id"]}
    assert not server.errors or end_reason == "peer_reset"
    secrets = [b"secret", base64.b64encode(b"\0alice\0secret")]
    assert found_in(recorder.everything().encode(), secrets) == []
