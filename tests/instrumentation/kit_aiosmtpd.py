"""A real aiosmtpd server on loopback for a test, and raw clients for it."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import trustme
from aiosmtpd.lmtp import LMTP
from aiosmtpd.smtp import SMTP

AUTHORITY = trustme.CA()


def server_context() -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    AUTHORITY.issue_cert("127.0.0.1", "localhost").configure_cert(context)
    return context


def client_context() -> ssl.SSLContext:
    context = ssl.create_default_context()
    AUTHORITY.configure_trust(context)
    return context


class Handler:
    """Takes everything, but for recipients that begin with ``no`` and content that says BOOM."""

    async def handle_RCPT(self, server: Any, session: Any, envelope: Any, address: str, options: list[str]) -> str:
        if address.startswith("no"):
            return "550 5.1.1 no such user"
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 ok"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        if b"BOOM" in envelope.content:
            raise ValueError("BOOM")
        return "250 2.0.0 queued"


class LMTPHandler(Handler):
    """Answers for each recipient; one whose name begins with ``full`` is over quota."""

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        return "\r\n".join(
            "452 4.2.2 over quota" if to.startswith("full") else "250 2.0.0 saved" for to in envelope.rcpt_tos
        )


class Server:
    """The address of a running server, and clients for it."""

    def __init__(self, address: tuple[str, int] | str, loop: asyncio.AbstractEventLoop) -> None:
        self.address = address
        self.loop = loop

    @property
    def host(self) -> str:
        assert isinstance(self.address, tuple)
        return self.address[0]

    @property
    def port(self) -> int:
        assert isinstance(self.address, tuple)
        return self.address[1]

    def connect(self, tls: ssl.SSLContext | None = None) -> Client:
        if isinstance(self.address, str):
            raw = socket.socket(socket.AF_UNIX)
            raw.connect(self.address)
        else:
            raw = socket.create_connection(self.address, 10)
        return Client(raw if tls is None else tls.wrap_socket(raw, server_hostname="127.0.0.1"))


class Client:
    """Speaks raw lines, so that the bytes on the wire are the test's own."""

    def __init__(self, connection: socket.socket) -> None:
        self.socket = connection
        self.socket.settimeout(10)
        self.address = connection.getsockname()
        self._file = connection.makefile("rb")

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def read_reply(self) -> bytes:
        """One reply, the last line of it; b"" at the end of the connection."""
        while True:
            line = self._file.readline()
            if not line or line[3:4] != b"-":
                return line.rstrip(b"\r\n")

    def command(self, line: bytes) -> bytes:
        self.send(line + b"\r\n")
        return self.read_reply()

    def starttls(self) -> None:
        assert self.command(b"STARTTLS").startswith(b"220")
        self.socket = client_context().wrap_socket(self.socket, server_hostname="127.0.0.1")
        self._file = self.socket.makefile("rb")

    def reset(self) -> None:
        """Close with a RST instead of a FIN."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.close()

    def close(self) -> None:
        self._file.close()
        self.socket.close()


@contextlib.contextmanager
def serving(
    handler: Any = None,
    *,
    protocol: type[SMTP] = SMTP,
    implicit_tls: bool = False,
    unix_socket: Path | None = None,
    run_in_loop: Callable[[], None] | None = None,
    **options: Any,
) -> Iterator[Server]:
    """Serve with aiosmtpd in a thread of its own, on a free port or a unix socket."""
    loop = asyncio.new_event_loop()
    handler = handler if handler is not None else (LMTPHandler() if protocol is LMTP else Handler())
    options.setdefault("hostname", "mx.example")
    tls = server_context() if implicit_tls else None

    def factory() -> SMTP:
        return protocol(handler, loop=loop, **options)

    async def listen() -> asyncio.Server:
        if run_in_loop is not None:
            run_in_loop()
        if unix_socket is not None:
            return await loop.create_unix_server(factory, str(unix_socket), ssl=tls)
        return await loop.create_server(factory, "127.0.0.1", 0, ssl=tls)

    server = loop.run_until_complete(listen())
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    name = server.sockets[0].getsockname()
    try:
        yield Server(name if isinstance(name, str) else name[:2], loop)
    finally:
        loop.call_soon_threadsafe(_stop, loop)
        thread.join()
        server.close()
        loop.run_until_complete(asyncio.sleep(0))
        loop.close()


def _stop(loop: asyncio.AbstractEventLoop) -> None:
    for task in asyncio.all_tasks(loop):
        task.cancel()
    loop.call_later(0.01, loop.stop)
