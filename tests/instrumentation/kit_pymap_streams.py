"""pymap as a callback of ``asyncio.start_server``: its demo mailboxes, with a password of the test's own."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, TypeAlias

from proxyprotocol.noop import ProxyProtocolNoop
from proxyprotocol.reader import ProxyProtocolReader
from proxyprotocol.sock import SocketInfo
from pymap.backend.dict import DictBackend
from pymap.imap import IMAPServer

from tests.instrumentation.kit_pymap import demo
from tests.kit_servers import Streams, server_context

Callback: TypeAlias = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def callback(password: str, user: str = "alice") -> Callback:
    """Serves connections with pymap; call it where its loop runs."""
    args, options = demo(password, user)
    backend = DictBackend.init(args, ssl_context=server_context(), **options)
    servers: list[IMAPServer] = []
    held = set()  # nobody else holds the task that serves a connection, in Python 3.13
    starting = asyncio.Lock()
    # pymap's own callback makes a task and returns, so that nobody sees how long it serves.
    header = ProxyProtocolReader(ProxyProtocolNoop())

    async def serves(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        held.add(task)
        async with starting:
            if not servers:
                served, config = await backend
                config.apply_context()
                servers.append(IMAPServer(served.login, config))
        info = SocketInfo.get(writer, await header.read(reader), unique_id=b"1")
        try:
            await servers[0](reader, writer, info)
        finally:
            held.discard(task)

    return serves


@contextlib.contextmanager
def serving(wrap: Callable[[Callback], Any], password: str, **options: Any) -> Iterator[Streams]:
    """Serve with a callback that *wrap* has wrapped."""
    server = Streams(wrap(callback(password)), **options)
    try:
        yield server
    finally:
        server.stop()
