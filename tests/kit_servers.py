"""Servers as people write them themselves: POP3 on asyncio and on socketserver, and how to run them in a test."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import hmac
import os
import socket
import socketserver
import ssl
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import trustme

from sessionspan import settings
from sessionspan.instrumentor import SessionInstrumentor
from sessionspan.testing import Recorder

AUTHORITY = trustme.CA()
STAMP = "<1896.697170952@pop.example>"
MESSAGE = b"Subject: hi\r\nMessage-ID: <hi@mail.example>\r\n\r\nhello\r\n..stuffed\r\n.\r\n"


def decoded(line: bytes) -> bytes:
    """*line* in base64; what is none is nothing."""
    try:
        return base64.b64decode(line.strip(), validate=True)
    except ValueError:
        return b""


class Boom(Exception):
    """What the handlers raise when they are told to."""


class Maildrop:
    """What a POP3 server answers, line by line; the password of everybody is in ``password``."""

    def __init__(self, password: bytes = b"secret", stls: bool = False) -> None:
        self.password = password
        self.stls = stls
        self.user = b""
        self.next: Callable[[bytes], bytes] | None = None  # what takes the next line of a login

    greeting = f"+OK POP3 ready {STAMP}\r\n".encode()

    def answer(self, line: bytes) -> bytes:
        take, self.next = self.next, None
        if take is not None:
            return b"-ERR cancelled\r\n" if line.strip() == b"*" else take(line)
        word, _, argument = line.strip().partition(b" ")
        answered: bytes = getattr(self, word.decode("ascii", "replace").upper(), self.unknown)(argument)
        return answered

    def unknown(self, argument: bytes) -> bytes:
        return b"-ERR what?\r\n"

    def login(self, right: bool) -> bytes:
        return b"+OK in\r\n" if right else b"-ERR [AUTH] no\r\n"

    def CAPA(self, argument: bytes) -> bytes:
        offers = [b"USER", b"UIDL", b"TOP", b"SASL PLAIN LOGIN CRAM-MD5 XOAUTH2", *[b"STLS"] * self.stls]
        return b"+OK\r\n" + b"".join(offer + b"\r\n" for offer in offers) + b".\r\n"

    def USER(self, argument: bytes) -> bytes:
        self.user = argument
        return b"+OK\r\n"

    def PASS(self, argument: bytes) -> bytes:
        return self.login(argument == self.password)

    def APOP(self, argument: bytes) -> bytes:
        digest = hashlib.md5(STAMP.encode() + self.password).hexdigest().encode()
        return self.login(argument.endswith(b" " + digest))

    def AUTH(self, argument: bytes) -> bytes:
        mechanism, _, initial = argument.partition(b" ")
        asks, take = {
            b"PLAIN": (b"", self.plain),
            b"LOGIN": (b"Username:", self.login_name),
            b"CRAM-MD5": (STAMP.encode(), self.cram),
            b"XOAUTH2": (b"", self.bearer),
        }.get(mechanism.upper(), (b"", None))
        if take is None:
            return b"-ERR what?\r\n"
        return take(initial) if initial else self.ask(asks, take)

    def ask(self, challenge: bytes, take: Callable[[bytes], bytes]) -> bytes:
        self.next = take
        return b"+ " + base64.b64encode(challenge) + b"\r\n"

    def plain(self, line: bytes) -> bytes:
        return self.login(decoded(line).split(b"\0")[2:] == [self.password])

    def login_name(self, line: bytes) -> bytes:
        return self.ask(b"Password:", lambda line: self.login(decoded(line) == self.password))

    def cram(self, line: bytes) -> bytes:
        digest = hmac.new(self.password, STAMP.encode(), "md5").hexdigest().encode()
        return self.login(decoded(line).endswith(b" " + digest))

    def bearer(self, line: bytes) -> bytes:
        return self.login(decoded(line).endswith(b"\1auth=Bearer " + self.password + b"\1\1"))

    def STAT(self, argument: bytes) -> bytes:
        return b"+OK 1 20\r\n"

    def LIST(self, argument: bytes) -> bytes:
        return b"+OK 1 20\r\n" if argument else b"+OK\r\n1 20\r\n.\r\n"

    def UIDL(self, argument: bytes) -> bytes:
        return b"+OK 1 uid-of-1\r\n" if argument else b"+OK\r\n1 uid-of-1\r\n.\r\n"

    def TOP(self, argument: bytes) -> bytes:
        return b"+OK\r\nSubject: hi\r\n\r\n.\r\n"

    def RETR(self, argument: bytes) -> bytes:
        return b"+OK\r\n" + MESSAGE if argument == b"1" else b"-ERR no such message\r\n"

    def DELE(self, argument: bytes) -> bytes:
        return b"+OK\r\n"

    def NOOP(self, argument: bytes) -> bytes:
        return b"+OK\r\n"

    def STLS(self, argument: bytes) -> bytes:
        return b"+OK begin\r\n"

    def BOOM(self, argument: bytes) -> bytes:
        raise Boom("with " + self.password.decode())

    def QUIT(self, argument: bytes) -> bytes:
        return b"+OK bye\r\n"


async def serve_pop3(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    *,
    password: bytes = b"secret",
    patience: float = 60,
) -> str:
    """A POP3 server on asyncio."""
    maildrop = Maildrop(password, stls=True)
    writer.write(maildrop.greeting)
    try:
        while line := await asyncio.wait_for(reader.readline(), patience):
            writer.write(maildrop.answer(line))
            await writer.drain()
            if line.strip().upper() == b"QUIT":
                break
            if line.strip().upper() == b"STLS":
                await writer.start_tls(server_context())  # type: ignore[attr-defined, unused-ignore]
    except (asyncio.TimeoutError, ConnectionError):
        pass
    finally:
        writer.close()
    return "served"


class POP3Handler(socketserver.StreamRequestHandler):
    """A POP3 server on socketserver."""

    def handle(self) -> None:
        maildrop = Maildrop()
        self.wfile.write(maildrop.greeting)
        for line in self.rfile:
            self.wfile.write(maildrop.answer(line))
            if line.strip().upper() == b"QUIT":
                break


class BarePOP3Handler(socketserver.BaseRequestHandler):
    """One that reads the socket itself, and as much as there is."""

    def handle(self) -> None:
        maildrop = Maildrop()
        self.request.sendall(maildrop.greeting)
        waiting = b""
        while data := self.request.recv(4096):
            waiting += data
            while b"\n" in waiting:
                line, _, waiting = waiting.partition(b"\n")
                self.request.send(maildrop.answer(line))
                if line.strip().upper() == b"QUIT":
                    return


class SMTPHandler(socketserver.StreamRequestHandler):
    """An SMTP server that takes everything."""

    wbufsize = -1

    def setup(self) -> None:
        super().setup()
        self.wfile.write(b"220 mx.example\r\n")
        self.wfile.flush()

    def handle(self) -> None:
        for line in iter(self.rfile.readline, b""):
            verb = line[:4].upper()
            self.wfile.write({b"DATA": b"354 go\r\n", b"QUIT": b"221 bye\r\n"}.get(verb, b"250 ok\r\n"))
            self.wfile.flush()
            if verb == b"DATA":
                while self.rfile.readline() != b".\r\n":
                    pass
                self.wfile.write(b"250 queued\r\n")
                self.wfile.flush()
            if verb == b"QUIT":
                return


def server_context() -> Any:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    # fetchmail wants a common name.
    AUTHORITY.issue_cert("127.0.0.1", "localhost", common_name="localhost").configure_cert(context)
    return context


def client_context() -> Any:
    context = ssl.create_default_context()
    AUTHORITY.configure_trust(context)
    return context


class Streams:
    """A loop in a thread that serves *callback* on ``asyncio.start_server``."""

    def __init__(self, callback: Callable[..., Any], *, loop: Any = None, **options: Any) -> None:
        self.errors: list[Any] = []  # what the loop's exception handler was told
        self.loop = loop or asyncio.new_event_loop()
        self.loop.set_exception_handler(lambda loop, context: self.errors.append(context.get("exception")))
        self.thread = threading.Thread(target=self.loop.run_forever)
        self.thread.start()
        if not {"path", "sock"} & options.keys():
            options.setdefault("host", "127.0.0.1")
        starting = self.start(callback, **options)
        self.server: Any = asyncio.run_coroutine_threadsafe(starting, self.loop).result(5)
        name = self.server.sockets[0].getsockname()
        self.port: int = name[1] if isinstance(name, tuple) else 0

    async def start(self, callback: Callable[..., Any], **options: Any) -> Any:
        start = asyncio.start_unix_server if "path" in options else asyncio.start_server
        return await start(callback, **options)

    async def _stop(self) -> None:
        self.server.close()
        mine = asyncio.current_task()
        tasks = [task for task in asyncio.all_tasks() if task is not mine]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def stop(self) -> None:
        asyncio.run_coroutine_threadsafe(self._stop(), self.loop).result(5)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(5)
        self.loop.close()


@contextlib.contextmanager
def streams(callback: Callable[..., Any], **options: Any) -> Iterator[Streams]:
    server = Streams(callback, **options)
    try:
        yield server
    finally:
        server.stop()


class Server(socketserver.ThreadingTCPServer):
    """A thread for each connection; keeps what the handlers raise."""

    daemon_threads = True
    request_queue_size = 200

    def __init__(self, handler: Any, context: Any = None, listener: socket.socket | None = None) -> None:
        self.errors: list[BaseException | None] = []
        self.closed: list[Any] = []  # the sockets, as they were given back
        self.context = context
        super().__init__(("127.0.0.1", 0), handler)
        if listener is not None:
            self.socket.close()
            self.socket, self.server_address = listener, listener.getsockname()
        self.port = self.server_address[1]

    def get_request(self) -> Any:
        request, address = super().get_request()
        return (self.context.wrap_socket(request, server_side=True) if self.context else request), address

    def shutdown_request(self, request: Any) -> None:
        self.closed.append((type(request), dict(getattr(request, "__dict__", {}))))
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        self.errors.append(sys.exc_info()[1])


@contextlib.contextmanager
def serving(handler: Any, context: Any = None, listener: socket.socket | None = None) -> Iterator[Server]:
    with Server(handler, context, listener) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


class POP3Protocol(asyncio.Protocol):
    """A POP3 server as a protocol class of asyncio; ``stls`` is a task while it begins to encrypt."""

    transport: Any
    stls: asyncio.Task[None] | None = None

    def __init__(self) -> None:
        self.maildrop = Maildrop(stls=True)
        self.waiting = b""
        self.face: asyncio.BaseProtocol = self  # the protocol that the transport knows

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        transport.write(self.maildrop.greeting)

    def data_received(self, data: bytes) -> None:
        self.waiting += data
        while b"\n" in self.waiting:
            line, _, self.waiting = self.waiting.partition(b"\n")
            answer = self.maildrop.answer(line)
            if line.strip().upper() == b"STLS":
                self.transport.pause_reading()  # what comes next is for TLS; `start_tls` goes on reading
            if line.strip().upper() == b"RETR 1":
                self.transport.writelines(answer.splitlines(keepends=True))
            else:
                self.transport.write(answer)
            if line.strip().upper() == b"QUIT":
                self.transport.close()
            if line.strip().upper() == b"STLS":
                self.stls = asyncio.ensure_future(self.encrypt())

    async def encrypt(self) -> None:
        loop = asyncio.get_running_loop()
        with contextlib.suppress(ssl.SSLError, ConnectionError):
            self.transport = await loop.start_tls(self.transport, self.face, server_context(), server_side=True)


class BufferedPOP3Protocol(asyncio.BufferedProtocol):
    """The same with a buffer of its own."""

    def __init__(self) -> None:
        self.inner = POP3Protocol()
        self.inner.face = self
        self.buffer = bytearray(16)

    def connection_made(self, transport: Any) -> None:
        self.inner.connection_made(transport)

    def get_buffer(self, sizehint: int) -> bytearray:
        return self.buffer

    def buffer_updated(self, nbytes: int) -> None:
        self.inner.data_received(bytes(self.buffer[:nbytes]))


class Protocols(Streams):
    """A loop in a thread that serves what *factory* makes on ``loop.create_server``."""

    async def start(self, callback: Callable[..., Any], **options: Any) -> Any:
        return await asyncio.get_running_loop().create_server(callback, **options)


@contextlib.contextmanager
def protocols(factory: Callable[..., Any], **options: Any) -> Iterator[Protocols]:
    server = Protocols(factory, **options)
    try:
        yield server
    finally:
        server.stop()


@contextlib.contextmanager
def listening() -> Iterator[socket.socket]:
    """A socket that listens on a free port of 127.0.0.1, to be served by somebody."""
    with socket.create_server(("127.0.0.1", 0), backlog=200) as listener:
        yield listener


@contextlib.contextmanager
def listed(
    instrumentor: SessionInstrumentor, recorder: Recorder, listener: socket.socket, protocol: str = "pop3"
) -> Iterator[None]:
    """The *instrumentor* at work, and the port of *listener* in ``SESSIONSPAN_PORTS``."""
    os.environ["SESSIONSPAN_PORTS"] = f"{listener.getsockname()[1]}:{protocol}"  # conftest takes it back
    settings.reload()
    instrumentor.instrument(
        tracer_provider=recorder.tracer_provider,
        logger_provider=recorder.logger_provider,
        meter_provider=recorder.meter_provider,
    )
    try:
        yield
    finally:
        instrumentor.uninstrument()
