"""Servers of one's own on asyncio, by their ports; what is asked of every kind is in `tests/test_servers.py`."""

from __future__ import annotations

import asyncio
import contextlib
import imaplib
import os
import poplib
import smtplib
import socket
import sys
from argparse import Namespace
from collections.abc import Iterator
from typing import Any

import pytest
import uvloop
from aiosmtpd.smtp import SMTP
from opentelemetry.sdk.trace import ReadableSpan

from sessionspan import session, settings, stream_session
from sessionspan.guard import guard
from sessionspan.testing import Recorder
from sessionspan_aiosmtpd import AiosmtpdInstrumentor
from sessionspan_asyncio import AsyncioInstrumentor
from sessionspan_pyftpdlib import PyftpdlibInstrumentor
from tests.kit_servers import (
    BufferedPOP3Protocol,
    POP3Protocol,
    client_context,
    listed,
    listening,
    protocols,
    serve_pop3,
    streams,
)

LOGIN = ["command USER ok", "auth.success alice", "command PASS ok", "command QUIT ok", "auth.end alice"]


ENCRYPTED = [
    "session.start",
    "command CAPA ok",
    "command STLS ok",
    "tls.established starttls",
    *LOGIN,
    "session.end",
]


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with listening() as found:
        yield found


@pytest.fixture(autouse=True)
def nothing_of_ours_fails() -> Iterator[None]:
    before = guard.failures
    yield
    assert guard.failures == before


def log_in(port: int, host: str = "127.0.0.1") -> None:
    client = poplib.POP3(host, port, timeout=5)
    client.user("alice")
    client.pass_("secret")
    client.quit()


def encrypted_log_in(port: int) -> None:
    client = poplib.POP3("127.0.0.1", port, timeout=5)
    client.stls(client_context())
    client.user("alice")
    client.pass_("secret")
    client.quit()


def scope_of(span: ReadableSpan) -> str:
    assert span.instrumentation_scope is not None
    return span.instrumentation_scope.name


# Which connections.


def test_the_sessions_are_of_the_instrumentation(listener: socket.socket, recorder: Recorder) -> None:
    with listed(AsyncioInstrumentor(), recorder, listener), streams(serve_pop3, sock=listener) as server:
        log_in(server.port)
        assert scope_of(recorder.wait_for_session()) == "sessionspan_asyncio"


@pytest.mark.parametrize("as_text", [False, True])
def test_a_port_is_known_however_the_server_names_it(as_text: bool, recorder: Recorder) -> None:
    with listening() as free:
        port = free.getsockname()[1]
        with listed(AsyncioInstrumentor(), recorder, free):
            free.close()
            with streams(serve_pop3, port=str(port) if as_text else port):
                log_in(port)
                recorder.wait_for_session()


def test_a_server_on_another_port_is_left_alone(listener: socket.socket, recorder: Recorder) -> None:
    made: list[POP3Protocol] = []

    def factory() -> POP3Protocol:
        made.append(POP3Protocol())
        return made[-1]

    with listed(AsyncioInstrumentor(), recorder, listener), protocols(factory, port=0) as server:
        client = poplib.POP3("127.0.0.1", server.port, timeout=5)
        assert set(vars(made[0])) == {"maildrop", "waiting", "face", "transport"}
        client.quit()
    assert not recorder.events


@pytest.mark.parametrize(("address", "told"), [("127.0.0.1", 1), ("0.0.0.0", 1), ("127.0.0.2", 0), ("[::1]", 0)])
def test_an_address_before_the_port_is_that_to_which_the_client_came(
    address: str, told: int, listener: socket.socket, recorder: Recorder
) -> None:
    with listed(AsyncioInstrumentor(), recorder, listener), streams(serve_pop3, sock=listener) as server:
        os.environ["SESSIONSPAN_PORTS"] = f"{address}:{server.port}:pop3"
        settings.reload()
        log_in(server.port)
        if told:
            recorder.wait_for_session()
    assert len(recorder.sessions) == told


def test_of_two_entries_the_one_with_the_address_counts(listener: socket.socket, recorder: Recorder) -> None:
    with listed(AsyncioInstrumentor(), recorder, listener), streams(serve_pop3, sock=listener) as server:
        os.environ["SESSIONSPAN_PORTS"] = f"{server.port}:smtp,127.0.0.1:{server.port}:pop3"
        settings.reload()
        log_in(server.port)
        assert recorder.wait_for_session().name == "POP3 session"


def test_without_a_listed_port_nothing_is_patched() -> None:
    create_server = asyncio.BaseEventLoop.create_server
    for _ in range(2):
        AsyncioInstrumentor().instrument()
        assert asyncio.BaseEventLoop.create_server is create_server
        AsyncioInstrumentor().uninstrument()


def test_after_uninstrument_a_server_that_goes_on_has_no_sessions(
    listener: socket.socket, recorder: Recorder
) -> None:
    with contextlib.ExitStack() as stack:
        with listed(AsyncioInstrumentor(), recorder, listener):
            server = stack.enter_context(protocols(POP3Protocol, sock=listener))
            log_in(server.port)
            recorder.wait_for_session()
        log_in(server.port)
    assert len(recorder.sessions) == 1


# TLS.


@pytest.mark.parametrize("factory", [POP3Protocol, BufferedPOP3Protocol])
def test_a_protocol_that_begins_tls_goes_on_in_its_session(
    factory: Any, listener: socket.socket, recorder: Recorder
) -> None:
    with listed(AsyncioInstrumentor(), recorder, listener), protocols(factory, sock=listener) as server:
        encrypted_log_in(server.port)
        attributes = recorder.wait_for_session().attributes or {}
    assert recorder.transcript() == ENCRYPTED
    assert attributes["sessionspan.tls.mode"] == "starttls"
    assert not server.errors


@pytest.mark.parametrize("leaves", [False, True])
def test_a_handshake_of_a_protocol_that_fails_is_told(
    leaves: bool, listener: socket.socket, recorder: Recorder
) -> None:
    with listed(AsyncioInstrumentor(), recorder, listener), protocols(POP3Protocol, sock=listener) as server:
        with socket.create_connection(("127.0.0.1", server.port), timeout=5) as client:
            client.sendall(b"STLS\r\n")
            while not client.recv(100).endswith(b"begin\r\n"):
                pass
            if not leaves:
                client.sendall(b"this is no handshake\r\n")
                while client.recv(100):
                    pass
        attributes = recorder.wait_for_session().attributes or {}
    assert recorder.transcript() == ["session.start", "command STLS ok", "tls.failure starttls", "session.end"]
    assert (attributes["sessionspan.outcome"], attributes["sessionspan.end_reason"]) == ("ok", "tls_failed")


# The protocol is left as it was.


def test_protocol_and_transport_are_as_before_when_the_connection_is_closed(
    listener: socket.socket, recorder: Recorder
) -> None:
    seen: list[set[str]] = []

    class Looks(POP3Protocol):
        def connection_made(self, transport: Any) -> None:
            seen.append({name for thing in (self, transport) for name in TAPPED & set(vars(thing))})
            super().connection_made(transport)

        def connection_lost(self, error: Any) -> None:
            made.append(self)

    made: list[Any] = []
    with listed(AsyncioInstrumentor(), recorder, listener), protocols(Looks, sock=listener) as server:
        log_in(server.port)
        recorder.wait_for_session()
    assert {"data_received", "write"} <= seen[0]
    assert TAPPED & set(vars(made[0])) == set()
    assert TAPPED & set(vars(made[0].transport)) == set()


TAPPED = {"connection_made", "data_received", "connection_lost", "write", "writelines", "set_protocol"}


def test_a_protocol_without_room_is_left_alone(listener: socket.socket, recorder: Recorder) -> None:
    class Tight(asyncio.Protocol):
        __slots__ = ("transport",)

        def connection_made(self, transport: Any) -> None:
            transport.write(b"+OK\r\n")
            transport.close()

    with listed(AsyncioInstrumentor(), recorder, listener), protocols(Tight, sock=listener) as server:
        assert socket.create_connection(("127.0.0.1", server.port), timeout=5).recv(10) == b"+OK\r\n"
    assert not recorder.events


def test_a_transport_that_gets_another_protocol_stays_in_its_session(
    listener: socket.socket, recorder: Recorder
) -> None:
    class Door(asyncio.Protocol):
        def connection_made(self, transport: Any) -> None:
            inner = POP3Protocol()
            transport.set_protocol(inner)
            inner.connection_made(transport)

    with listed(AsyncioInstrumentor(), recorder, listener), protocols(Door, sock=listener) as server:
        log_in(server.port)
        recorder.wait_for_session()
    assert recorder.transcript() == ["session.start", *LOGIN, "session.end"]


def test_what_a_protocol_raises_at_its_end_is_recorded_and_goes_on(
    listener: socket.socket, recorder: Recorder
) -> None:
    class Falls(POP3Protocol):
        def connection_lost(self, error: Any) -> None:
            raise LookupError

    with listed(AsyncioInstrumentor(), recorder, listener), protocols(Falls, sock=listener) as server:
        log_in(server.port)
        attributes = recorder.wait_for_session().attributes or {}
        recorder.wait_until(lambda: server.errors, "error of the protocol")
    assert [type(error) for error in server.errors] == [LookupError]
    assert attributes["sessionspan.end_reason"] == "handler_error"


# One session for each connection, whoever else listens.


@contextlib.contextmanager
def instrumented(instrumentor: Any, recorder: Recorder) -> Iterator[None]:
    instrumentor.instrument(tracer_provider=recorder.tracer_provider, logger_provider=recorder.logger_provider)
    try:
        yield
    finally:
        instrumentor.uninstrument()


class Takes:
    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        return "250 ok"


def mail(port: int) -> None:
    with smtplib.SMTP("127.0.0.1", port, timeout=5) as client:
        client.sendmail("a@x.org", ["b@y.org"], b"Subject: hi\r\n\r\nhi\r\n")


@pytest.mark.parametrize("theirs", [True, False])
def test_a_connection_of_aiosmtpd_has_one_session(
    theirs: bool, listener: socket.socket, recorder: Recorder
) -> None:
    with contextlib.ExitStack() as stack:
        if theirs:
            stack.enter_context(instrumented(AiosmtpdInstrumentor(), recorder))
        stack.enter_context(listed(AsyncioInstrumentor(), recorder, listener, "smtp"))
        server = stack.enter_context(protocols(lambda: SMTP(Takes()), sock=listener))
        mail(server.port)
        recorder.wait_for_session()
    assert [scope_of(span) for span in recorder.sessions] == [
        "sessionspan_aiosmtpd" if theirs else "sessionspan_asyncio"
    ]
    assert recorder.transcript()[-4:] == [
        "mail.reception b@y.org",
        "command DATA 250",
        "command QUIT 221",
        "session.end",
    ]


if sys.version_info >= (3, 11):  # pymap needs it

    @pytest.mark.parametrize("hidden", [False, True])
    def test_a_connection_of_pymap_has_one_session(
        hidden: bool, listener: socket.socket, recorder: Recorder
    ) -> None:
        from proxyprotocol.reader import ProxyProtocolReader
        from proxyprotocol.version import ProxyProtocolVersion
        from pymap.backend.dict import DictBackend
        from pymap.imap import IMAPServer

        from sessionspan_pymap import PymapInstrumentor

        async def serve() -> Any:
            nothing = dict.fromkeys(("host", "cert", "key", "demo_data", "inherited_sockets", "passlib_cfg"))
            given: dict[str, Any] = {"demo_user": "alice", "demo_password": "secret", "proxy_protocol": "noop"}
            arguments = Namespace(port=0, debug=False, tls=False, **nothing, **given)
            backend, config = await DictBackend.init(arguments)
            callback = ProxyProtocolReader(ProxyProtocolVersion.get(None)).get_callback(
                IMAPServer(backend.login, config)
            )
            # A wrapping of the application's own hides whose it is: then the first session stays the only one.
            return (lambda reader, writer: callback(reader, writer)) if hidden else callback

        with contextlib.ExitStack() as stack:
            stack.enter_context(instrumented(PymapInstrumentor(), recorder))
            stack.enter_context(listed(AsyncioInstrumentor(), recorder, listener, "imap"))
            server = stack.enter_context(streams(asyncio.run(serve()), sock=listener))
            client = imaplib.IMAP4("127.0.0.1", server.port, timeout=5)
            client.login("alice", "secret")
            client.logout()
            recorder.wait_for_session()
        assert [scope_of(span) for span in recorder.sessions] == [
            "sessionspan_asyncio" if hidden else "sessionspan_pymap"
        ]
        assert recorder.transcript()[-3:] == ["command LOGOUT ok", "auth.end alice", "session.end"]


def test_a_connection_of_pyftpdlib_has_one_session(listener: socket.socket, recorder: Recorder) -> None:
    import ftplib
    import threading

    from pyftpdlib.authorizers import DummyAuthorizer  # type: ignore[import-untyped]
    from pyftpdlib.handlers import FTPHandler  # type: ignore[import-untyped]
    from pyftpdlib.servers import ThreadedFTPServer  # type: ignore[import-untyped]

    class Handler(FTPHandler):  # type: ignore[misc]
        authorizer = DummyAuthorizer()

    Handler.authorizer.add_anonymous(".")
    with contextlib.ExitStack() as stack:
        stack.enter_context(instrumented(PyftpdlibInstrumentor(), recorder))
        stack.enter_context(listed(AsyncioInstrumentor(), recorder, listener, "ftp"))
        server = ThreadedFTPServer(listener, Handler)
        thread = threading.Thread(target=server.serve_forever, kwargs={"timeout": 0.05})
        thread.start()
        client = ftplib.FTP()
        client.connect("127.0.0.1", listener.getsockname()[1], 5)
        client.login()
        client.quit()
        recorder.wait_for_session()
        server.close_all()
        thread.join()
    assert [scope_of(span) for span in recorder.sessions] == ["sessionspan_pyftpdlib"]


def test_a_callback_that_makes_its_own_sessions_keeps_them(listener: socket.socket, recorder: Recorder) -> None:
    from sessionspan import own

    async def in_a_block(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await stream_session("pop3")(serve_pop3)(reader, writer)

    own.SCOPE.bind(recorder.tracer_provider, recorder.logger_provider, recorder.meter_provider)
    with listed(AsyncioInstrumentor(), recorder, listener):
        for callback, scope in (
            (stream_session("pop3")(serve_pop3), "sessionspan"),
            (in_a_block, "sessionspan_asyncio"),
        ):
            with listening() as other:
                os.environ["SESSIONSPAN_PORTS"] = f"{other.getsockname()[1]}:pop3"
                settings.reload()
                with streams(callback, sock=other) as server:
                    log_in(server.port)
                    recorder.wait_for_session()
            assert [scope_of(span) for span in recorder.sessions] == [scope]
            recorder.clear()
    own.SCOPE.unbind()


def test_connections_to_a_listener_that_was_made_inside_a_session_have_their_own(
    listener: socket.socket, recorder: Recorder
) -> None:
    from sessionspan import own

    async def main() -> None:
        callback: Any = serve_pop3
        with session("FTP", peer=("127.0.0.1", 1)):
            server = await asyncio.start_server(callback, sock=listener)
        async with server:
            await asyncio.to_thread(log_in, listener.getsockname()[1])
            await asyncio.to_thread(recorder.wait_for_sessions, 2)

    own.SCOPE.bind(recorder.tracer_provider, recorder.logger_provider, recorder.meter_provider)
    with listed(AsyncioInstrumentor(), recorder, listener):
        asyncio.run(main())
    own.SCOPE.unbind()
    assert [span.name for span in recorder.sessions] == ["FTP session", "POP3 session"]


# uvloop.

LOOPS = [asyncio.new_event_loop, uvloop.new_event_loop]


@pytest.mark.parametrize("loop", LOOPS)
def test_a_callback_is_told_on_each_loop(loop: Any, listener: socket.socket, recorder: Recorder) -> None:
    with listed(AsyncioInstrumentor(), recorder, listener):
        with streams(serve_pop3, sock=listener, loop=loop()) as server:
            log_in(server.port)
            recorder.wait_for_session()
    assert recorder.transcript() == ["session.start", *LOGIN, "session.end"]


if hasattr(asyncio.StreamWriter, "start_tls"):  # from Python 3.11 on

    @pytest.mark.parametrize("loop", LOOPS)
    def test_a_callback_that_begins_tls_goes_on_in_its_session(
        loop: Any, listener: socket.socket, recorder: Recorder
    ) -> None:
        with listed(AsyncioInstrumentor(), recorder, listener):
            with streams(serve_pop3, sock=listener, loop=loop()) as server:
                encrypted_log_in(server.port)
                recorder.wait_for_session()
        assert recorder.transcript() == ENCRYPTED


@pytest.mark.parametrize("factory", [POP3Protocol, BufferedPOP3Protocol])
def test_a_protocol_on_uvloop_has_a_session_without_its_dialogue(
    factory: Any, listener: socket.socket, recorder: Recorder
) -> None:
    with listed(AsyncioInstrumentor(), recorder, listener):
        with protocols(factory, sock=listener, loop=uvloop.new_event_loop()) as server:
            log_in(server.port)
            attributes = recorder.wait_for_session().attributes or {}
    assert recorder.transcript() == ["session.start", "session.end"]
    assert attributes["client.address"] == "127.0.0.1"
    assert attributes["sessionspan.received.size"] == len("USER alice\r\nPASS secret\r\nQUIT\r\n")
    assert attributes["sessionspan.sent.size"] == 0
    assert attributes["sessionspan.end_reason"] == "local_close"
