"""pymap servers for tests, and clients for them."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import imaplib
import socket
import ssl
import threading
from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import trustme
from proxyprotocol.reader import ProxyProtocolReader
from pymap.backend.dict import DictBackend
from pymap.imap import IMAPServer
from pymap.sieve.manage import ManageSieveServer
from pysasl.hashing import BuiltinHash

from sessionspan.guard import guard
from sessionspan.testing import Recorder
from sessionspan_pymap import PymapInstrumentor

AUTHORITY = trustme.CA()
SECRET = b"CanaryPassw0rd-7f3a/?=x"
B64 = base64.b64encode
PASSWORD = SECRET.decode()


class Server:
    """A running server, and clients for it."""

    def __init__(self, address: Any, loop: asyncio.AbstractEventLoop) -> None:
        self.address = address
        self.loop = loop

    def connect(self, header: bytes = b"") -> Client:
        connection = socket.socket(socket.AF_UNIX if isinstance(self.address, str) else socket.AF_INET)
        connection.settimeout(10)
        connection.connect(self.address)
        connection.sendall(header)
        return Client(connection)

    def imap(self) -> imaplib.IMAP4:
        return imaplib.IMAP4(self.address[0], self.address[1], timeout=10)

    def login(self) -> imaplib.IMAP4:
        client = self.imap()
        client.login("alice", PASSWORD)
        return client


class Client:
    """Speaks raw lines, so that the bytes on the wire are the test's own."""

    def __init__(self, connection: socket.socket) -> None:
        self.socket = connection
        self.address = connection.getsockname()
        self._file = connection.makefile("rb")

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def read_line(self) -> bytes:
        return self._file.readline().rstrip(b"\r\n")

    def read_to(self, *starts: bytes) -> bytes:
        """Lines up to one that begins with one of *starts*; b"" at the end of the connection."""
        while True:
            line = self.read_line()
            if not line or line.startswith(starts):
                return line

    def command(self, line: bytes) -> bytes:
        self.send(line + b"\r\n")
        return self.read_to(line.partition(b" ")[0], b"+", b"* BYE", b"* BAD")

    def managesieve(self, line: bytes) -> bytes:
        """Say a ManageSieve command, or an answer in its exchange; return the reply, or the challenge."""
        self.send(line + b"\r\n")
        return self.read_to(b"OK", b"NO", b"BYE", b'"', b"{")

    def shake_hands(self) -> None:
        context = ssl.create_default_context()
        AUTHORITY.configure_trust(context)
        self.socket = context.wrap_socket(self.socket, server_hostname="127.0.0.1")
        self._file = self.socket.makefile("rb")

    def reset(self) -> None:
        """Close with a RST instead of a FIN."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.close()

    def close(self) -> None:
        self._file.close()
        self.socket.close()


def demo(password: str, user: str = "alice", *, tls: bool = True) -> tuple[Namespace, dict[str, Any]]:
    """The arguments of pymap's own command for its demo mailboxes, and options that keep logins quick."""
    args = Namespace(
        host=None,
        port=0,
        debug=False,
        cert=None,
        key=None,
        tls=tls,
        passlib_cfg=None,
        proxy_protocol=None,
        demo_data=True,
        demo_user=user,
        demo_password=password,
    )
    hashes = BuiltinHash(hash_name="sha256", salt_len=8, rounds=1)
    return args, {"hash_context": hashes, "invalid_user_sleep": 0.0}


@contextlib.contextmanager
def serving(
    *,
    kind: type[IMAPServer] | type[ManageSieveServer] = IMAPServer,
    backend: type[DictBackend] = DictBackend,
    path: Path | None = None,
    tls: bool = True,
    **overrides: Any,
) -> Iterator[Server]:
    """Serve the demo mailboxes of alice in a thread, on a free port or a unix socket.

    With *tls*, ManageSieve takes no login before STARTTLS; IMAP does, from this machine.
    """
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    AUTHORITY.issue_cert("127.0.0.1").configure_cert(context)
    args, options = demo(PASSWORD, tls=tls)
    overrides = {"ssl_context": context, **options, **overrides}
    loop = asyncio.new_event_loop()
    held = []  # nobody else holds the task that serves a connection, in Python 3.13

    async def listen() -> asyncio.Server:
        served, config = await backend.init(args, **overrides)
        config.apply_context()
        serve = ProxyProtocolReader(config.proxy_protocol).get_callback(kind(served.login, config), timeout=10)

        async def callback(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            held.append((reader, writer))
            await serve(reader, writer)

        if path is not None:
            return await asyncio.start_unix_server(callback, str(path))
        return await asyncio.start_server(callback, "127.0.0.1", 0)

    server = loop.run_until_complete(listen())
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield Server(server.sockets[0].getsockname(), loop)
    finally:
        loop.call_soon_threadsafe(_stop, loop)
        thread.join()
        server.close()
        loop.run_until_complete(asyncio.sleep(0))
        loop.close()


def _stop(loop: asyncio.AbstractEventLoop) -> None:
    for task in asyncio.all_tasks(loop):
        task.cancel()
    loop.call_later(0.05, loop.stop)


@contextlib.contextmanager
def instrumented_pymap(recorder: Recorder) -> Iterator[None]:
    """pymap is instrumented, and nothing of ours fails meanwhile."""
    before = guard.failures
    PymapInstrumentor().instrument(
        tracer_provider=recorder.tracer_provider,
        logger_provider=recorder.logger_provider,
        meter_provider=recorder.meter_provider,
    )
    try:
        yield
    finally:
        PymapInstrumentor().uninstrument()
    assert guard.failures == before
