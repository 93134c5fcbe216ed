"""Servers of one's own on socketserver, by their ports; what all kinds share is in `tests/test_servers.py`."""

from __future__ import annotations

import functools
import os
import poplib
import socket
import socketserver
import ssl
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan

from sessionspan import handler_session, own, settings
from sessionspan.guard import guard
from sessionspan.instrumentor import Patch, SessionInstrumentor
from sessionspan.scope import Scope
from sessionspan.testing import Recorder
from sessionspan.wrappers import before
from sessionspan_socketserver import SocketserverInstrumentor
from tests.kit_servers import POP3Handler, client_context, listed, listening, server_context, serving


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with listening() as found:
        yield found


@pytest.fixture(autouse=True)
def nothing_of_ours_fails() -> Iterator[None]:
    before = guard.failures
    yield
    assert guard.failures == before


def log_in(port: int) -> None:
    client = poplib.POP3("127.0.0.1", port, timeout=5)
    client.user("alice")
    client.pass_("secret")
    client.quit()


def scope_of(span: ReadableSpan) -> str:
    assert span.instrumentation_scope is not None
    return span.instrumentation_scope.name


def test_the_sessions_are_of_the_instrumentation(listener: socket.socket, recorder: Recorder) -> None:
    with listed(SocketserverInstrumentor(), recorder, listener):
        with serving(POP3Handler, listener=listener) as server:
            log_in(server.port)
            assert scope_of(recorder.wait_for_session()) == "sessionspan_socketserver"


def test_a_server_on_another_port_is_left_alone(listener: socket.socket, recorder: Recorder) -> None:
    seen: list[Any] = []

    class Looks(POP3Handler):
        def handle(self) -> None:
            seen.append(type(self.request))
            super().handle()

    with listed(SocketserverInstrumentor(), recorder, listener), serving(Looks) as server:
        log_in(server.port)
    assert seen == [socket.socket]
    assert not recorder.events


def test_an_address_before_the_port_is_that_to_which_the_client_came(
    listener: socket.socket, recorder: Recorder
) -> None:
    with listed(SocketserverInstrumentor(), recorder, listener):
        with serving(POP3Handler, listener=listener) as server:
            for address, count in (("127.0.0.2", 0), ("127.0.0.1", 1)):
                os.environ["SESSIONSPAN_PORTS"] = f"{address}:{server.port}:pop3"
                settings.reload()
                log_in(server.port)
                if count:
                    recorder.wait_for_session()
                assert len(recorder.sessions) == count


def test_without_a_listed_port_nothing_is_patched() -> None:
    init, wrap_socket = socketserver.BaseRequestHandler.__init__, ssl.SSLContext.wrap_socket
    for _ in range(2):
        SocketserverInstrumentor().instrument()
        assert socketserver.BaseRequestHandler.__init__ is init
        assert ssl.SSLContext.wrap_socket is wrap_socket
        SocketserverInstrumentor().uninstrument()


def test_a_handler_that_takes_more_than_socketserver_gives_it_has_a_session(
    listener: socket.socket, recorder: Recorder
) -> None:
    class Takes(POP3Handler):
        def __init__(self, *args: Any, more: str) -> None:
            self.more = more
            super().__init__(*args)

    with listed(SocketserverInstrumentor(), recorder, listener):
        with serving(functools.partial(Takes, more="x"), listener=listener) as server:
            log_in(server.port)
            recorder.wait_for_session()
    assert recorder.transcript()[1:3] == ["command USER ok", "auth.success alice"]
    assert not server.errors


@pytest.mark.parametrize("decorated", [True, False])
def test_a_connection_has_one_session_also_where_the_code_asks_for_one(
    decorated: bool, listener: socket.socket, recorder: Recorder
) -> None:
    own.SCOPE.bind(recorder.tracer_provider, recorder.logger_provider, recorder.meter_provider)
    handler = type("Handler", (POP3Handler,), {})
    with listed(SocketserverInstrumentor(), recorder, listener):
        with serving(handler_session("pop3")(handler) if decorated else handler, listener=listener) as server:
            log_in(server.port)
            assert scope_of(recorder.wait_for_session()) == (
                "sessionspan" if decorated else "sessionspan_socketserver"
            )
    own.SCOPE.unbind()
    assert len(recorder.sessions) == 1


def test_a_handler_that_another_instrumentation_listens_to_is_its_own(
    listener: socket.socket, recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    class OtherInstrumentor(SessionInstrumentor):
        scope = Scope("sessionspan_other")
        instruments = ""
        patches = (Patch("tests.kit_servers", "POP3Handler.handle", before(lambda handler: None)),)

    OtherInstrumentor().instrument()
    try:
        with listed(SocketserverInstrumentor(), recorder, listener):
            with serving(POP3Handler, listener=listener) as server:
                log_in(server.port)
    finally:
        OtherInstrumentor().uninstrument()
    assert not recorder.events


def test_tls_that_a_handler_begins_is_told_and_the_socket_is_given_back_as_it_was(
    listener: socket.socket, recorder: Recorder
) -> None:
    wrapped: list[Any] = []

    class Encrypts(POP3Handler):
        def handle(self) -> None:
            self.wfile.write(b"+OK\r\n")
            self.rfile.readline()
            self.wfile.write(b"+OK begin\r\n")
            encrypted = server_context().wrap_socket(self.request, server_side=True)
            wrapped.append(encrypted)
            self.rfile, self.wfile = encrypted.makefile("rb"), encrypted.makefile("wb", 0)
            super().handle()

    with listed(SocketserverInstrumentor(), recorder, listener):
        with serving(Encrypts, listener=listener) as server:
            with socket.create_connection(("127.0.0.1", server.port), timeout=5) as plain:
                plain.recv(100)
                plain.sendall(b"STLS\r\n")
                plain.recv(100)
                with client_context().wrap_socket(plain, server_hostname="127.0.0.1") as client:
                    client.sendall(b"NOOP\r\nQUIT\r\n")
                    answered = b""
                    while not answered.endswith(b"bye\r\n"):
                        answered += client.recv(100)
            recorder.wait_for_session()
    assert recorder.transcript() == [
        "session.start",
        "command STLS ok",
        "tls.established starttls",
        "command NOOP ok",
        "command QUIT ok",
        "session.end",
    ]
    assert type(wrapped[0]) is ssl.SSLSocket


def test_sockets_that_the_handler_opens_itself_are_not_heard(listener: socket.socket, recorder: Recorder) -> None:
    with listening() as elsewhere:

        def greet() -> None:
            for _ in range(2):
                connection, _ = elsewhere.accept()
                with connection:
                    connection.sendall(b"elsewhere\r\n")

        class Asks(POP3Handler):
            def handle(self) -> None:
                with socket.create_connection(elsewhere.getsockname(), timeout=5) as other:
                    assert other.recv(100) == b"elsewhere\r\n"
                super().handle()

        thread = threading.Thread(target=greet)
        thread.start()
        with listed(SocketserverInstrumentor(), recorder, listener):
            with serving(Asks, listener=listener) as server:
                client = poplib.POP3("127.0.0.1", server.port, timeout=5)
                client.quit()
                attributes = recorder.wait_for_session().attributes or {}
                poplib.POP3("127.0.0.1", server.port, timeout=5).quit()
        thread.join()
    assert attributes["sessionspan.received.size"] == len("QUIT\r\n")
