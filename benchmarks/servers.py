"""The servers under test, one per protocol: how each is instrumented, and how it listens."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Awaitable, Callable
from typing import Any, Final, NamedTuple

from benchmarks.dialogues import MESSAGE, PASSWORD, USER

_BACKLOG: Final = 4096


class Server(NamedTuple):
    """One of them."""

    instrument: Callable[[], None]
    listen: Callable[[], Awaitable[asyncio.Server]]


# SMTP: aiosmtpd


class Accepts:
    """A handler that takes every message."""

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        """The message is taken."""
        return "250 2.0.0 Message accepted"


def _instrument_aiosmtpd() -> None:
    from sessionspan_aiosmtpd import AiosmtpdInstrumentor

    AiosmtpdInstrumentor().instrument()


async def _listen_smtp() -> asyncio.Server:
    from aiosmtpd.smtp import SMTP

    loop = asyncio.get_running_loop()
    # With a host name of its own the server asks no DNS, which it would do for each connection.
    make = functools.partial(SMTP, Accepts(), hostname="mx.example.net", loop=loop)
    return await loop.create_server(make, "127.0.0.1", 0, backlog=_BACKLOG)


# POP3: a server of one's own. It does next to nothing, so nothing of it hides what we cost.

_ANSWERS: Final = {
    b"USER": b"+OK\r\n",
    b"PASS": b"+OK\r\n",
    b"STAT": b"+OK 1 %d\r\n" % len(MESSAGE),
    b"LIST": b"+OK\r\n1 %d\r\n.\r\n" % len(MESSAGE),
    b"RETR": b"+OK\r\n" + MESSAGE + b".\r\n",
    b"QUIT": b"+OK\r\n",
}


async def _serve_pop3(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"+OK\r\n")
    while line := await reader.readline():
        verb = line[:4].upper()
        writer.write(_ANSWERS.get(verb, b"-ERR\r\n"))
        await writer.drain()
        if verb == b"QUIT":
            break
    writer.close()


_pop3: list[Callable[..., Any]] = [_serve_pop3]


def _instrument_pop3() -> None:
    from sessionspan import stream_session

    _pop3[0] = stream_session("pop3")(_serve_pop3)


async def _listen_pop3() -> asyncio.Server:
    return await asyncio.start_server(_pop3[0], "127.0.0.1", 0, backlog=_BACKLOG)


# IMAP: pymap


def _instrument_pymap() -> None:
    from sessionspan_pymap import PymapInstrumentor

    PymapInstrumentor().instrument()


async def _listen_imap() -> asyncio.Server:
    from argparse import Namespace

    from proxyprotocol.reader import ProxyProtocolReader
    from pymap.backend.dict import DictBackend
    from pymap.imap import IMAPServer
    from pysasl.hashing import BuiltinHash

    names = ("host", "cert", "key", "passlib_cfg", "proxy_protocol")
    demo = {"demo_data": True, "demo_user": USER, "demo_password": PASSWORD}
    args = Namespace(**dict.fromkeys(names), port=0, debug=False, tls=False, **demo)
    # Not the cost of a good hash, which would hide everything else.
    backend, config = await DictBackend.init(args, hash_context=BuiltinHash(hash_name="sha256", rounds=1))
    config.apply_context()
    serve = ProxyProtocolReader(config.proxy_protocol).get_callback(IMAPServer(backend.login, config))
    return await asyncio.start_server(serve, "127.0.0.1", 0, backlog=_BACKLOG)


SERVERS: Final = {
    "smtp": Server(_instrument_aiosmtpd, _listen_smtp),
    "pop3": Server(_instrument_pop3, _listen_pop3),
    "imap": Server(_instrument_pymap, _listen_imap),
}
