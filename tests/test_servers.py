"""Sessions of servers that people wrote themselves: real ones on loopback, and real clients."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import functools
import hashlib
import hmac
import imaplib
import importlib
import inspect
import logging
import os
import poplib
import smtplib
import socket
import socketserver
import ssl
import struct
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, TypeAlias

import pytest
from opentelemetry import trace
from opentelemetry.instrumentation.utils import suppress_instrumentation

from sessionspan import (
    current_session,
    handler_session,
    own,
    process_run,
    session,
    settings,
    stream_session,
)
from sessionspan.observers import OBSERVERS, maker_of
from sessionspan.servers.ports import PortsInstrumentor
from sessionspan.testing import Recorder
from sessionspan_asyncio import AsyncioInstrumentor
from sessionspan_socketserver import SocketserverInstrumentor
from tests import kit_servers as kit
from tests.canary import found_in
from tests.kit_servers import (
    BarePOP3Handler,
    Boom,
    BufferedPOP3Protocol,
    POP3Handler,
    POP3Protocol,
    Protocols,
    Server,
    SMTPHandler,
    Streams,
    client_context,
    listed,
    listening,
    protocols,
    serve_pop3,
    server_context,
    serving,
    streams,
)

managesieve: Any = importlib.import_module("sievelib.managesieve")


@pytest.fixture(autouse=True)
def recorded(recorder: Recorder) -> Iterator[None]:
    own.SCOPE.bind(recorder.tracer_provider, recorder.logger_provider, recorder.meter_provider)
    yield
    own.SCOPE.unbind()


def of_its_own(handler: type) -> type:
    """A subclass to decorate, so that the kit's class stays as it is."""
    return type(handler.__name__, (handler,), {})


def asyncio_server(**options: Any) -> AbstractContextManager[Streams]:
    return streams(stream_session("pop3")(serve_pop3), **options)


def starts_pop3(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    task = asyncio.ensure_future(serve_pop3(reader, writer))
    tasks.add(task)
    # Its `Boom` is the loop's to tell, as without us.
    task.add_done_callback(tasks.discard)


tasks: set[asyncio.Task[str]] = set()


def plain_server(**options: Any) -> AbstractContextManager[Streams]:
    return streams(stream_session("pop3")(starts_pop3), **options)


def handler_server(**options: Any) -> AbstractContextManager[Server]:
    return serving(handler_session("pop3")(of_its_own(POP3Handler)), options.get("ssl"))


def bare_server(**options: Any) -> AbstractContextManager[Server]:
    return serving(handler_session("pop3")(of_its_own(BarePOP3Handler)), options.get("ssl"))


Kind: TypeAlias = Callable[..., AbstractContextManager[Any]]

KINDS: dict[str, Kind] = {
    "coroutine": asyncio_server,
    "function": plain_server,
    "stream handler": handler_server,
    "bare handler": bare_server,
}

# The same without a line of code: their port is listed.
BY_PORT: dict[str, tuple[type[PortsInstrumentor], Kind]] = {
    "coroutine by port": (AsyncioInstrumentor, functools.partial(streams, serve_pop3)),
    "function by port": (AsyncioInstrumentor, functools.partial(streams, starts_pop3)),
    "protocol by port": (AsyncioInstrumentor, functools.partial(protocols, POP3Protocol)),
    "buffered protocol by port": (AsyncioInstrumentor, functools.partial(protocols, BufferedPOP3Protocol)),
    "stream handler by port": (
        SocketserverInstrumentor,
        lambda sock, ssl=None: serving(POP3Handler, ssl, sock),
    ),
    "bare handler by port": (
        SocketserverInstrumentor,
        lambda sock, ssl=None: serving(BarePOP3Handler, ssl, sock),
    ),
}


@pytest.fixture(params=[*KINDS, *BY_PORT])
def serves(request: pytest.FixtureRequest, recorder: Recorder) -> Iterator[Kind]:
    """What starts a server of each kind, whose connections shall be sessions."""
    if request.param in KINDS:
        yield KINDS[request.param]
        return
    instrumentor, kind = BY_PORT[request.param]
    with listening() as listener, listed(instrumentor(), recorder, listener):
        yield functools.partial(kind, sock=listener)


def log_in(client: poplib.POP3, user: str = "alice", password: str = "secret") -> None:
    client.user(user)
    client.pass_(password)


def reason(recorder: Recorder) -> tuple[object, object]:
    attributes = recorder.wait_for_session().attributes or {}
    return attributes["sessionspan.outcome"], attributes["sessionspan.end_reason"]


class Raw:
    """A client that says what it likes."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=5)
        self.file = self.socket.makefile("rb")
        self.file.readline()

    def command(self, line: bytes) -> bytes:
        self.socket.sendall(line + b"\r\n")
        return self.file.readline()

    def close(self) -> None:
        self.file.close()
        self.socket.close()

    def reset(self) -> None:
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close()


# The story.

STORY = [
    "session.start",
    "command USER ok",
    "auth.failure invalid_credentials",
    "command PASS err",
    "command USER ok",
    "auth.success alice",
    "command PASS ok",
    "command STAT ok",
    "command LIST ok",
    "store.message.open",
    "command RETR ok",
    "command DELE ok",
    "store.message.delete",
    "command QUIT ok",
    "auth.end alice",
    "session.end",
]


def pop3_story(client: poplib.POP3) -> None:
    with pytest.raises(poplib.error_proto):
        log_in(client, "alice", "wrong")
    log_in(client)
    client.stat()
    client.list()
    _, lines, _ = client.retr(1)
    assert lines == [b"Subject: hi", b"Message-ID: <hi@mail.example>", b"", b"hello", b".stuffed"]
    client.dele(1)
    client.quit()


def test_a_whole_pop3_session_is_told(serves: Kind, recorder: Recorder) -> None:
    with serves() as server:
        client = poplib.POP3("127.0.0.1", server.port, timeout=5)
        port = client.sock.getsockname()[1]
        pop3_story(client)
        span = recorder.wait_for_session()
    assert recorder.transcript() == STORY
    attributes = span.attributes or {}
    assert span.name == "POP3 session"
    assert attributes["network.protocol.name"] == "pop3"
    assert (attributes["client.address"], attributes["client.port"]) == ("127.0.0.1", port)
    assert attributes["network.local.port"] == server.port
    assert attributes["network.transport"] == "tcp"
    assert attributes["user.name"] == "alice"
    assert attributes["sessionspan.tls.mode"] == "none"
    assert (attributes["sessionspan.outcome"], attributes["sessionspan.end_reason"]) == ("ok", "quit")
    assert attributes["sessionspan.received.size"] == sum(
        len(line) + 2
        for line in (
            "USER alice",
            "PASS wrong",
            "USER alice",
            "PASS secret",
            "STAT",
            "LIST",
            "RETR 1",
            "DELE 1",
            "QUIT",
        )
    )
    statuses = {event["sessionspan.command.name"]: event.attributes for event in recorder.named("command")}
    assert statuses["RETR"]["sessionspan.reply.status"] == "ok"
    refused = [event for event in recorder.named("command") if event["sessionspan.reply.status"] == "err"]
    assert [event["sessionspan.reply.response_code"] for event in refused] == ["AUTH"]
    assert not server.errors


def test_what_is_done_to_messages_is_told(serves: Kind, recorder: Recorder) -> None:
    with serves() as server:
        client = poplib.POP3("127.0.0.1", server.port, timeout=5)
        log_in(client)
        client.uidl()
        client.list()
        client.retr(1)
        client.dele(1)
        assert recorder.named("store.message.delete") == []
        client.quit()
        recorder.wait_for_session()
    (opened,) = recorder.named("store.message.open")
    (deleted,) = recorder.named("store.message.delete")
    for event in (opened, deleted):
        assert event["sessionspan.mail.message.uid"] == "uid-of-1"
        assert event["user.name"] == "alice"
        assert event["sessionspan.store.log_id"] == process_run.log_id()
    assert opened["sessionspan.mail.message.id"] == "hi@mail.example"
    assert opened["sessionspan.mail.message.size"] == len(kit.MESSAGE) - len(b".") - len(b".\r\n")
    assert deleted["sessionspan.mail.message.size"] == 20  # as LIST says


def test_tls_is_told(serves: Kind, recorder: Recorder) -> None:
    with serves(ssl=server_context()) as server:
        client = poplib.POP3_SSL("127.0.0.1", server.port, timeout=5, context=client_context())
        pop3_story(client)
        attributes = recorder.wait_for_session().attributes or {}
    assert recorder.transcript() == [STORY[0], "tls.established implicit", *STORY[1:]]
    assert attributes["sessionspan.tls.mode"] == "implicit"
    assert attributes["tls.protocol.version"] == "1.3"


@pytest.mark.skipif(not hasattr(asyncio.StreamWriter, "start_tls"), reason="asyncio has it from Python 3.11 on")
def test_stls_is_told_and_the_session_goes_on(recorder: Recorder) -> None:
    with asyncio_server() as server:
        client = poplib.POP3("127.0.0.1", server.port, timeout=5)
        assert client._shortcmd("STLS").startswith(b"+OK")  # type: ignore[attr-defined]
        client.sock = client_context().wrap_socket(client.sock, server_hostname="127.0.0.1")
        client.file = client.sock.makefile("rb")
        pop3_story(client)
        recorder.wait_for_session()
    assert recorder.transcript() == [STORY[0], "command STLS ok", "tls.established starttls", *STORY[1:]]


@pytest.mark.skipif(not hasattr(asyncio.StreamWriter, "start_tls"), reason="asyncio has it from Python 3.11 on")
def test_a_handshake_that_fails_is_told_and_is_no_error_of_the_server(recorder: Recorder) -> None:
    with asyncio_server() as server:
        client = Raw(server.port)
        client.command(b"STLS")
        client.socket.sendall(b"this is no handshake\r\n")
        assert reason(recorder) == ("ok", "tls_failed")
        client.close()
    assert recorder.transcript()[-2:] == ["tls.failure starttls", "session.end"]
    assert [type(error).__mro__[1] for error in server.errors] == [OSError]  # ssl.SSLError, as without us


class Encrypts(POP3Handler):
    """It does STLS as people write it: another socket, and other files."""

    lazily = False

    def handle(self) -> None:
        self.wfile.write(b"+OK\r\n")
        assert self.rfile.readline() == b"STLS\r\n"
        self.wfile.write(b"+OK begin\r\n")
        with contextlib.suppress(ssl.SSLError):
            encrypted = server_context().wrap_socket(
                self.request, server_side=True, do_handshake_on_connect=not self.lazily
            )
            self.rfile, self.wfile = encrypted.makefile("rb"), encrypted.makefile("wb", 0)
            super().handle()


class EncryptsBare(BarePOP3Handler):
    """Another one that does STLS: it goes on with its socket."""

    def handle(self) -> None:
        self.request.sendall(b"+OK\r\n")
        assert self.request.recv(100) == b"STLS\r\n"
        self.request.sendall(b"+OK begin\r\n")
        self.request = server_context().wrap_socket(self.request, server_side=True)
        super().handle()

    def finish(self) -> None:
        self.request.close()


class EncryptsLate(Encrypts):
    """One whose first read shakes hands."""

    lazily = True


@pytest.mark.parametrize("handler", [Encrypts, EncryptsBare, EncryptsLate])
def test_tls_that_a_handler_begins_is_told_and_the_session_goes_on(handler: Any, recorder: Recorder) -> None:
    with serving(handler_session("pop3")(of_its_own(handler))) as server:
        client = poplib.POP3("127.0.0.1", server.port, timeout=5)
        assert client._shortcmd("STLS").startswith(b"+OK")  # type: ignore[attr-defined]
        client.sock = client_context().wrap_socket(client.sock, server_hostname="127.0.0.1")
        client.file = client.sock.makefile("rb")
        assert client._getresp().startswith(b"+OK")  # type: ignore[attr-defined]
        pop3_story(client)
        attributes = recorder.wait_for_session().attributes or {}
    assert not server.errors
    assert recorder.transcript() == [STORY[0], "command STLS ok", "tls.established starttls", *STORY[1:]]
    assert attributes["sessionspan.tls.mode"] == "starttls"


@pytest.mark.parametrize("handler", [Encrypts, EncryptsBare, EncryptsLate])
def test_a_handshake_that_fails_in_a_handler_is_told_also_when_it_is_caught(
    handler: Any, recorder: Recorder
) -> None:
    with serving(handler_session("pop3")(of_its_own(handler))) as server:
        client = Raw(server.port)
        client.command(b"STLS")
        client.socket.sendall(b"this is no handshake\r\n")
        assert reason(recorder) == ("ok", "tls_failed")
        if handler is EncryptsBare:  # it does not catch it
            recorder.wait_until(lambda: server.errors, "error of the handler")
        client.close()
    assert recorder.transcript()[-2:] == ["tls.failure starttls", "session.end"]
    assert not recorder.named("session.exception")


def test_a_handshake_that_the_first_read_does_is_told_with_it(recorder: Recorder) -> None:
    class Late(Server):
        def get_request(self) -> Any:
            request, address = socketserver.TCPServer.get_request(self)
            lazily = {"server_side": True, "do_handshake_on_connect": False}
            return server_context().wrap_socket(request, **lazily), address

    for words in (b"", b"this is no handshake\r\n"):
        with Late(handler_session("pop3")(of_its_own(POP3Handler))) as server:
            thread = threading.Thread(target=server.handle_request)
            thread.start()
            raw = socket.create_connection(("127.0.0.1", server.port), timeout=5)
            if words:
                raw.sendall(words)
                raw.close()
            else:
                client = client_context().wrap_socket(raw, server_hostname="127.0.0.1")
                client.sendall(b"QUIT\r\n")
                while client.recv(100):
                    pass
                client.close()
            thread.join()
            recorder.wait_for_session()
        if words:
            assert recorder.transcript() == ["session.start", "tls.failure implicit", "session.end"]
        else:
            assert recorder.transcript()[:3] == ["session.start", "tls.established implicit", "command QUIT ok"]
        recorder.clear()


def test_pipelined_commands_meet_their_replies(serves: Kind, recorder: Recorder) -> None:
    with serves() as server:
        client = Raw(server.port)
        client.socket.sendall(b"USER alice\r\nPASS secret\r\nLIST\r\nSTAT\r\nQUIT\r\n")
        while client.file.readline():
            pass
        recorder.wait_for_session()
    assert [line for line in recorder.transcript() if line.startswith(("auth", "command"))] == [
        "command USER ok",
        "auth.success alice",
        "command PASS ok",
        "command LIST ok",
        "command STAT ok",
        "command QUIT ok",
        "auth.end alice",
    ]


def test_smtp_on_socketserver_is_told(recorder: Recorder) -> None:
    with serving(handler_session("smtp")(of_its_own(SMTPHandler))) as server:
        with smtplib.SMTP("127.0.0.1", server.port, timeout=5) as client:
            client.sendmail("a@x.org", ["b@y.org", "c@y.org"], b"Subject: hi\r\n\r\n.dot\r\n")
        recorder.wait_for_session()
    assert recorder.transcript() == [
        "session.start",
        "command EHLO 250",
        "command MAIL 250",
        "command RCPT 250",
        "command RCPT 250",
        "mail.reception b@y.org,c@y.org",
        "command DATA 250",
        "command QUIT 221",
        "session.end",
    ]
    assert not server.errors


def test_a_protocol_without_an_observer_has_its_bytes_counted(recorder: Recorder) -> None:
    @stream_session("gopher")
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"i" + await reader.read(100))
        await writer.drain()
        writer.close()

    with streams(serve) as server, socket.create_connection(("127.0.0.1", server.port), timeout=5) as client:
        client.sendall(b"/\r\n")
        assert client.recv(100) == b"i/\r\n"
        attributes = recorder.wait_for_session().attributes or {}
    assert recorder.transcript() == ["session.start", "session.end"]
    assert (attributes["sessionspan.received.size"], attributes["sessionspan.sent.size"]) == (3, 4)
    assert attributes["protocol"] == "GOPHER"
    assert attributes["sessionspan.end_reason"] == "local_close"


@pytest.mark.parametrize("protocol", OBSERVERS)
def test_an_observer_of_the_table_can_be_made(protocol: str) -> None:
    assert maker_of(protocol)().finish() in ((), [])


# Why it ended.


def test_a_client_that_goes_is_peer_eof(serves: Kind, recorder: Recorder) -> None:
    with serves() as server:
        client = Raw(server.port)
        client.command(b"NOOP")
        client.close()
        assert reason(recorder) == ("ok", "peer_eof")


def test_a_client_that_goes_with_deletions_under_way_has_aborted(recorder: Recorder) -> None:
    with handler_server() as server:
        client = Raw(server.port)
        client.command(b"DELE 1")
        client.close()
        assert reason(recorder) == ("aborted", "peer_eof")


def test_a_client_that_resets_is_peer_reset(serves: Kind, recorder: Recorder) -> None:
    with serves() as server:
        client = Raw(server.port)
        client.command(b"NOOP")
        client.reset()
        assert reason(recorder) == ("ok", "peer_reset")
    assert not recorder.named("session.exception")


def test_a_client_that_is_silent_is_a_timeout_of_asyncio(recorder: Recorder) -> None:
    with streams(stream_session("pop3")(functools.partial(serve_pop3, patience=0.1))) as server:
        client = Raw(server.port)
        assert reason(recorder) == ("ok", "timeout")
        client.close()


async def waits_with_a_timeout(reader: asyncio.StreamReader) -> None:
    async with asyncio.timeout(0.1):  # type: ignore[attr-defined, unused-ignore]
        await reader.readline()


async def waits_in_a_task(reader: asyncio.StreamReader) -> None:
    reading = asyncio.create_task(asyncio.wait_for(reader.readline(), 0.1))
    await asyncio.wait([reading])
    await reading


@pytest.mark.parametrize("catches", [True, False])
@pytest.mark.parametrize("waits", [waits_with_a_timeout, waits_in_a_task])
def test_a_client_that_is_silent_is_a_timeout_however_one_waits(
    waits: Any, catches: bool, recorder: Recorder
) -> None:
    if waits is waits_with_a_timeout and not hasattr(asyncio, "timeout"):
        pytest.skip("asyncio has it from Python 3.11 on")

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.closing(writer):
            with contextlib.suppress(asyncio.TimeoutError) if catches else contextlib.nullcontext():
                await waits(reader)

    with streams(stream_session("pop3")(serve)) as server:
        with socket.create_connection(("127.0.0.1", server.port), timeout=5):
            assert reason(recorder) == ("ok", "timeout")
    assert not recorder.named("session.exception")


def test_a_read_that_the_server_cancels_is_no_timeout(recorder: Recorder) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        reading = asyncio.create_task(reader.readline())
        await asyncio.sleep(0)
        reading.cancel()
        await asyncio.wait([reading])
        writer.close()

    with streams(stream_session("pop3")(serve)) as server:
        with socket.create_connection(("127.0.0.1", server.port), timeout=5):
            assert reason(recorder) == ("ok", "local_close")


def test_a_server_that_is_stopped_and_keeps_it_to_itself_is_a_shutdown(recorder: Recorder) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"+OK\r\n")
        with contextlib.suppress(asyncio.CancelledError), contextlib.closing(writer):
            await reader.readline()

    with streams(stream_session("pop3")(serve)) as server:
        client = Raw(server.port)
    assert reason(recorder) == ("ok", "shutdown")
    client.close()


@pytest.mark.parametrize("returns", ["at once", "at the end", "never made"])
@pytest.mark.parametrize(("goes", "told"), [(Raw.close, "peer_eof"), (Raw.reset, "peer_reset")])
def test_a_client_that_goes_is_seen_also_by_a_server_that_never_reads(
    returns: str, goes: Callable[[Raw], None], told: str, recorder: Recorder
) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        start(reader, writer)
        if returns == "at the end":
            await writer.wait_closed()

    def start(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"+OK\r\n")
        kept.append((reader, writer))

    async def close() -> None:
        reader, writer = kept[0]
        while not reader.at_eof():
            await asyncio.sleep(0)
        writer.close()  # asyncio leaves a connection half open, whose client has gone

    kept: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []
    with streams(stream_session("pop3")(start if returns == "never made" else serve)) as server:
        client = Raw(server.port)
        goes(client)
        if told == "peer_eof":
            asyncio.run_coroutine_threadsafe(close(), server.loop).result(5)
        assert reason(recorder) == ("ok", told)


@pytest.mark.parametrize("catches", [True, False])
@pytest.mark.parametrize("handler", [POP3Handler, BarePOP3Handler])
def test_a_client_that_is_silent_is_a_timeout_of_socketserver(
    handler: Any, catches: bool, recorder: Recorder
) -> None:
    class Impatient(handler):  # type: ignore[misc]
        def handle(self) -> None:
            self.request.settimeout(0.1)
            with contextlib.suppress(TimeoutError) if catches else contextlib.nullcontext():
                super().handle()

    with serving(handler_session("pop3")(Impatient)) as server:
        client = Raw(server.port)
        assert reason(recorder) == ("ok", "timeout")
        client.close()
    assert len(server.errors) == (not catches)
    assert not recorder.named("session.exception")


def test_a_stopped_server_is_a_shutdown(recorder: Recorder) -> None:
    with asyncio_server() as server:
        client = Raw(server.port)
        client.command(b"NOOP")
    assert reason(recorder) == ("ok", "shutdown")
    client.close()


@pytest.mark.parametrize("serves", [kind for kind in [*KINDS, *BY_PORT] if "function" not in kind], indirect=True)
def test_what_the_handler_raises_is_recorded_and_goes_on(serves: Kind, recorder: Recorder) -> None:
    with serves() as server:
        client = Raw(server.port)
        client.command(b"BOOM")
        assert reason(recorder) == ("error", "handler_error")
        client.close()
    assert recorder.transcript()[-3:] == [
        "session.exception tests.kit_servers.Boom",
        "command _OTHER",
        "session.end",
    ]
    assert "secret" not in recorder.everything()
    if not (isinstance(server, Streams) and not isinstance(server, Protocols)):  # asyncio tells it in 3.12 only
        recorder.wait_until(lambda: server.errors, "error of the handler")
        assert [type(error) for error in server.errors] == [Boom]


def test_a_plain_function_that_raises_ends_its_session(recorder: Recorder) -> None:
    @stream_session("pop3")
    def start(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()
        raise Boom

    with streams(start) as server:
        socket.create_connection(("127.0.0.1", server.port), timeout=5).close()
        assert reason(recorder) == ("error", "handler_error")


def test_an_error_of_another_connection_is_the_handlers(recorder: Recorder) -> None:
    class Backend(POP3Handler):
        def handle(self) -> None:
            raise ConnectionResetError("the database has gone")

    with serving(handler_session("pop3")(Backend)) as server:
        socket.create_connection(("127.0.0.1", server.port), timeout=5).close()
        assert reason(recorder) == ("error", "handler_error")


# Nothing is changed for the server.


def test_what_a_callback_returns_and_raises_is_its_own() -> None:
    async def serve(reader: Any, writer: Any, *, fails: bool = False) -> str:
        if fails:
            raise Boom
        return "served"

    wrapped = stream_session("pop3")(serve)
    assert inspect.iscoroutinefunction(wrapped)
    assert wrapped.__name__ == "serve"
    assert asyncio.run(wrapped(None, None)) == "served"

    async def of_streams(**options: Any) -> str:
        reader = asyncio.StreamReader()
        return await wrapped(reader, Writer(), **options)

    assert asyncio.run(of_streams()) == "served"
    with pytest.raises(Boom):
        asyncio.run(of_streams(fails=True))


class Writer:
    """A writer of somebody's own, with as little as possible."""

    def get_extra_info(self, name: str) -> None:
        return None

    def write(self, data: bytes) -> None: ...

    def writelines(self, data: list[bytes]) -> None: ...


def test_the_streams_are_as_before_when_the_session_has_ended(recorder: Recorder) -> None:
    seen: list[tuple[dict[str, Any], dict[str, Any], dict[str, Any]]] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        before = [set(vars(thing)) for thing in (reader, writer, writer.transport.get_protocol())]
        await stream_session("pop3")(serve_pop3)(reader, writer)
        after = [set(vars(thing)) for thing in (reader, writer, writer.transport.get_protocol())]
        seen.append((before, after))  # type: ignore[arg-type]

    with streams(serve) as server:
        client = Raw(server.port)
        client.command(b"QUIT")
        client.close()
        recorder.wait_for_session()
    ((before, after),) = seen  # type: ignore[misc]
    assert before == after


@pytest.mark.parametrize("context", [None, server_context()], ids=["plain", "tls"])
def test_the_socket_is_as_before_when_the_session_has_ended(context: Any, recorder: Recorder) -> None:
    during: list[Any] = []

    class Looks(POP3Handler):
        def handle(self) -> None:
            during.append((isinstance(self.request, socket.socket), type(self.request), repr(self.request)))
            super().handle()

    with serving(handler_session("pop3")(Looks), context) as server:
        raw = socket.create_connection(("127.0.0.1", server.port), timeout=5)
        client = client_context().wrap_socket(raw, server_hostname="127.0.0.1") if context else raw
        client.sendall(b"QUIT\r\n")
        while client.recv(100):
            pass
        client.close()
        recorder.wait_for_session()
    kind = ssl.SSLSocket if context else socket.socket
    ((is_socket, type_then, shown),) = during
    assert is_socket
    assert type_then is not kind
    assert shown.startswith(f"<{kind.__module__}.{kind.__qualname__} fd=")
    ((type_after, attributes),) = server.closed
    assert type_after is kind
    assert not [value for value in attributes.values() if "sessionspan" in repr(type(value))]


def test_peeking_at_the_bytes_and_a_duplicate_hear_nothing_twice(recorder: Recorder) -> None:
    @handler_session("pop3")
    class Peeks(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            buffer = bytearray(10)
            self.request.sendall(b"+OK\r\n")
            self.request.recv(100, socket.MSG_PEEK)
            self.request.recv_into(buffer, 10, socket.MSG_PEEK)
            count = self.request.recv_into(buffer)
            assert bytes(buffer[:count]) == b"NOOP\r\n"
            with self.request.dup() as duplicate:
                duplicate.sendall(b"+OK\r\n")
            self.request.send(memoryview(b"+OK\r\n"))

    with serving(Peeks) as server:
        client = Raw(server.port)
        assert client.command(b"NOOP") == b"+OK\r\n"
        client.close()
        attributes = recorder.wait_for_session().attributes or {}
    assert not server.errors
    assert (attributes["sessionspan.received.size"], attributes["sessionspan.sent.size"]) == (6, 10)


def test_a_datagram_is_no_session(recorder: Recorder) -> None:
    @handler_session("pop3")
    class Echo(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            data, sock = self.request
            sock.sendto(data, self.client_address)

    with socketserver.UDPServer(("127.0.0.1", 0), Echo) as server:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.settimeout(5)
            client.sendto(b"x", server.server_address)
            server.handle_request()
            assert client.recv(10) == b"x"
    assert not recorder.events


# Whose session it is.


def test_the_session_is_current_in_the_handler(
    serves: Kind, recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def noop(self: Any, argument: bytes) -> bytes:
        found = current_session()
        assert found is not None
        with recorder.tracer_provider.get_tracer("mine").start_as_current_span("work"):
            return b"+OK " + found.id.encode() + b"\r\n"

    monkeypatch.setattr(kit.Maildrop, "NOOP", noop)
    with serves() as server:
        client = Raw(server.port)
        answer = client.command(b"NOOP")
        client.command(b"QUIT")
        client.close()
        span = recorder.wait_for_session()
    assert answer.decode().split()[1] == (span.attributes or {})["session_id"]
    (work,) = [other for other in recorder.spans if other.name == "work"]
    assert work.parent is not None
    assert span.context is not None
    assert work.parent.span_id == span.context.span_id
    assert trace.get_current_span().get_span_context().is_valid is False
    assert current_session() is None


def test_a_connection_that_has_a_session_gets_no_second_one(recorder: Recorder) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with session("POP3", peer=writer.get_extra_info("peername")):
            await stream_session("pop3")(serve_pop3)(reader, writer)

    class Twice(handler_session("pop3")(of_its_own(POP3Handler))):  # type: ignore[misc]
        pass

    for server_of in (
        functools.partial(streams, serve),
        functools.partial(serving, handler_session("pop3")(Twice)),
    ):
        with server_of() as server:
            client = Raw(server.port)
            client.command(b"QUIT")
            client.close()
            recorder.wait_for_session()
        assert len(recorder.sessions) == 1
        recorder.clear()


TWISTED = """
import asyncio
from twisted.internet import asyncioreactor
asyncioreactor.install()

import os, poplib, threading
from sessionspan import settings
from sessionspan.testing import Recorder
from sessionspan_asyncio import AsyncioInstrumentor
from twisted.internet import protocol, reactor
from twisted.mail import pop3

recorder = Recorder()
def speak(number):
    poplib.POP3("127.0.0.1", number, timeout=5).quit()
    reactor.callFromThread(reactor.stop)
factory = protocol.ServerFactory.forProtocol(pop3.POP3)
number = reactor.listenTCP(0, factory, interface="127.0.0.1").getHost().port
os.environ["SESSIONSPAN_PORTS"] = f"{number}:pop3"
settings.reload()
AsyncioInstrumentor().instrument(
    tracer_provider=recorder.tracer_provider, logger_provider=recorder.logger_provider
)
threading.Thread(target=speak, args=(number,)).start()
reactor.run()
print(len(recorder.sessions))
"""


def test_a_server_of_twisted_on_asyncios_reactor_is_not_taken_for_ones_own() -> None:
    done = subprocess.run(
        [sys.executable, "-c", TWISTED], capture_output=True, text=True, timeout=60, env={**os.environ}
    )
    assert (done.stdout, done.returncode) == ("0\n", 0), done.stderr


def test_ignored_clients_and_suppressed_servers_have_no_sessions(
    serves: Kind, recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SESSIONSPAN_IGNORE_CLIENTS", "127.0.0.0/8")
    settings.reload()
    with serves() as server:
        pop3_story(poplib.POP3("127.0.0.1", server.port, timeout=5))
    monkeypatch.delenv("SESSIONSPAN_IGNORE_CLIENTS")
    settings.reload()

    async def suppressed(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress_instrumentation():
            await stream_session("pop3")(serve_pop3)(reader, writer)

    with streams(suppressed) as server:
        pop3_story(poplib.POP3("127.0.0.1", server.port, timeout=5))
    assert not recorder.spans
    assert not recorder.events


def test_while_nobody_listens_nothing_is_tapped(monkeypatch: pytest.MonkeyPatch) -> None:
    own.SCOPE.unbind()
    own.SCOPE.bind()  # the API's proxies, with nothing behind them
    seen: list[Any] = []

    @stream_session("pop3")
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.extend(set(vars(reader)) & {"read", "readuntil"})
        assert current_session() is not None
        await serve_pop3(reader, writer)

    class Looks(POP3Handler):
        def handle(self) -> None:
            seen.extend({type(self.request)} - {socket.socket})
            super().handle()

    for server_of in (
        functools.partial(streams, serve),
        functools.partial(serving, handler_session("pop3")(Looks)),
    ):
        with server_of() as server:
            pop3_story(poplib.POP3("127.0.0.1", server.port, timeout=5))
    assert seen == []


def test_a_method_can_be_a_callback_and_a_callback_can_make_its_coroutine(recorder: Recorder) -> None:
    class Service:
        @stream_session("pop3")
        async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await serve_pop3(reader, writer)

    lazy = stream_session("pop3")(lambda reader, writer: serve_pop3(reader, writer))
    for callback in (Service().serve, lazy):
        with streams(callback) as server:
            pop3_story(poplib.POP3("127.0.0.1", server.port, timeout=5))
            recorder.wait_for_session()
        assert recorder.transcript() == STORY
        recorder.clear()


def test_a_unix_socket_has_no_client_address(recorder: Recorder, tmp_path: Path) -> None:
    path = str(tmp_path / "pop3")
    with asyncio_server(path=path), socket.socket(socket.AF_UNIX) as client:
        client.settimeout(5)
        client.connect(path)
        client.sendall(b"QUIT\r\n")
        while client.recv(100):
            pass
        attributes = recorder.wait_for_session().attributes or {}
    assert attributes["network.transport"] == "unix"
    assert attributes["network.local.address"] == path
    assert "client.address" not in attributes


# Many at once, and secrets.


def test_a_hundred_sessions_at_once_mix_nothing(serves: Kind, recorder: Recorder) -> None:
    def one(port: int, number: int) -> None:
        client = Raw(port)
        client.command(b"USER user%d" % number)
        client.command(b"PASS secret")
        for _ in range(number % 7):
            client.command(b"STAT")
        client.socket.sendall(b"RETR 1\r\n")
        while client.file.readline() != b".\r\n":
            pass
        if number % 5:
            client.command(b"QUIT")
            client.close()
        else:
            client.reset()

    with serves(backlog=200) if serves in (asyncio_server, plain_server) else serves() as server:
        threads = [threading.Thread(target=one, args=(server.port, number)) for number in range(100)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        recorder.wait_for_sessions(100)
    seen = set()
    for span in recorder.sessions:
        attributes = span.attributes or {}
        number = int(str(attributes["username"]).removeprefix("user"))
        seen.add(number)
        assert attributes["sessionspan.end_reason"] == ("quit" if number % 5 else "peer_reset")
        events = recorder.of(span)
        assert {event["client.port"] for event in events} == {attributes["client.port"]}
        assert {event.attributes.get("user.name", f"user{number}") for event in events} == {f"user{number}"}
        commands = [event["sessionspan.command.name"] for event in events if event.name == "command"]
        expected = ["USER", "PASS", *["STAT"] * (number % 7), "RETR"] + ["QUIT"] * bool(number % 5)
        assert commands == expected
    assert seen == set(range(100))


CANARY = b"Can4ry-s3cret-Xyzzy"


@pytest.mark.parametrize("accepted", [True, False])
def test_no_credential_leaves_by_any_way_of_logging_in(
    serves: Kind,
    accepted: bool,
    recorder: Recorder,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    monkeypatch.setenv("SESSIONSPAN_CAPTURE", "content")
    settings.reload()
    right = CANARY if accepted else b"another"
    make = kit.Maildrop.__init__
    monkeypatch.setattr(kit.Maildrop, "__init__", lambda self, *args, **kwargs: make(self, right))
    b64 = base64.b64encode
    cram = hmac.new(CANARY, kit.STAMP.encode(), "md5").hexdigest().encode()
    apop = hashlib.md5(kit.STAMP.encode() + CANARY).hexdigest().encode()
    plain = b64(b"\0alice\0" + CANARY)
    logins = [
        [b"USER alice", b"PASS " + CANARY],
        [b"APOP alice " + apop],
        [b"AUTH PLAIN " + plain],
        [b"AUTH PLAIN", plain],
        [b"AUTH LOGIN", b64(b"alice"), b64(CANARY)],
        [b"AUTH LOGIN " + b64(b"alice"), b64(CANARY)],
        [b"AUTH CRAM-MD5", b64(b"alice " + cram)],
        [CANARY],
        [b64(CANARY)],
        [b"RETR " + CANARY],
    ]
    with serves() as server:
        client = Raw(server.port)
        for login in logins:
            for line in login:
                client.command(line)
        client.command(b"QUIT")
        client.close()
        recorder.wait_for_session()
    told = "auth.success alice" if accepted else "auth.failure invalid_credentials"
    assert recorder.transcript().count(told) == 7
    names = {event["sessionspan.auth.user.name"] for event in recorder.events if event.name in told}
    assert names == {"alice"}
    everything = recorder.everything().encode() + caplog.text.encode()
    assert not found_in(everything, [CANARY, cram, apop])


def test_an_imap_server_of_ones_own_is_told(recorder: Recorder) -> None:
    @stream_session("imap")
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"* OK ready\r\n")
        while line := await reader.readline():
            tag, command = line.split()[:2]
            untagged = {b"LOGOUT": b"* BYE\r\n", b"CAPABILITY": b"* CAPABILITY IMAP4rev1\r\n"}.get(command, b"")
            writer.write(untagged + tag + b" OK done\r\n")
            await writer.drain()
        writer.close()

    async def main() -> None:
        server = await asyncio.start_server(serve, "127.0.0.1", 0)

        def speak() -> None:
            client = imaplib.IMAP4(*server.sockets[0].getsockname())
            client.login("alice", "secret")
            client.logout()

        async with server:
            await asyncio.to_thread(speak)
            await asyncio.to_thread(recorder.wait_for_session)

    asyncio.run(main())
    names = [event["sessionspan.command.name"] for event in recorder.named("command")]
    assert names == ["CAPABILITY", "LOGIN", "LOGOUT"]
    attributes = recorder.sessions[0].attributes or {}
    assert (attributes["username"], attributes["sessionspan.end_reason"]) == ("alice", "quit")
    assert "secret" not in recorder.everything()


@pytest.mark.filterwarnings("ignore:Credentials are sent over an unencrypted connection")
def test_a_managesieve_server_of_ones_own_is_told(recorder: Recorder) -> None:
    @stream_session("managesieve")
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b'"IMPLEMENTATION" "own"\r\n"SASL" "PLAIN"\r\n"VERSION" "1.0"\r\nOK\r\n')
        while line := await reader.readline():
            if line.endswith(b"+}\r\n"):
                await reader.readexactly(int(line.rpartition(b"{")[2][:-4]))
                await reader.readline()
            writer.write(b"OK\r\n")
            await writer.drain()
        writer.close()

    async def main() -> None:
        server = await asyncio.start_server(serve, "127.0.0.1", 0)

        def speak() -> None:
            client = managesieve.Client(*server.sockets[0].getsockname())
            assert client.connect("alice", "secret")
            assert client.putscript("mine", 'AUTHENTICATE "PLAIN"\r\nkeep;')
            client.logout()

        async with server:
            await asyncio.to_thread(speak)
            await asyncio.to_thread(recorder.wait_for_session)

    asyncio.run(main())
    names = [event["sessionspan.command.name"] for event in recorder.named("command")]
    assert names == ["AUTHENTICATE", "PUTSCRIPT", "LOGOUT"]
    (span,) = recorder.sessions
    attributes = span.attributes or {}
    assert span.name == "MANAGESIEVE session"
    assert attributes["network.protocol.name"] == "managesieve"
    assert (attributes["username"], attributes["sessionspan.end_reason"]) == ("alice", "quit")
    assert "secret" not in recorder.everything()
