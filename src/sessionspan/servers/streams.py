"""Sessions of callbacks of ``asyncio.start_server``: a reader and a writer for each connection."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any, TypeVar

from sessionspan.addresses import address_of
from sessionspan.guard import guard
from sessionspan.protocols import Observer
from sessionspan.servers.connection import Connection, Service, speaking
from sessionspan.session import Session
from sessionspan.taps import tap_streams, untap_streams

Function = TypeVar("Function", bound=Callable[..., Any])


def stream_session(protocol: str) -> Callable[[Function], Function]:
    """Decorate a callback of ``asyncio.start_server``, so that each of its connections is a session.

    The callback is a coroutine function, with which the session ends, or a plain one: then it ends when the
    connection is closed. It may be a method. *protocol* is a name such as ``"pop3"``.
    """
    service = speaking(protocol)

    def decorate(callback: Function) -> Function:
        @functools.wraps(callback)
        async def serves(*args: Any, **kwargs: Any) -> Any:
            connection = _take_streams(service, *args, **kwargs)
            called = callback(*args, **kwargs)
            return await (called if connection is None else connection.await_in_session(called))

        @functools.wraps(callback)
        def starts(*args: Any, **kwargs: Any) -> Any:
            connection = _take_streams(service, *args, **kwargs)
            if connection is None:
                return callback(*args, **kwargs)
            result = connection.call_in_session(callback, *args, **kwargs)
            if inspect.iscoroutine(result):  # asyncio makes a task of it
                return connection.await_in_session(result)
            connection.ends_when_closed()
            return result

        # A coroutine function stays one for those who ask.
        return serves if inspect.iscoroutinefunction(callback) else starts  # type: ignore[return-value]

    return decorate


class _Streams(Connection):
    """A connection of asyncio's streams."""

    __slots__ = ("_reader", "_writer")

    def __init__(self, session: Session, observer: Observer, reader: Any, writer: Any) -> None:
        super().__init__(session, observer)
        self._reader = reader
        self._writer = writer

    def listen(self) -> None:
        tap_streams(self._reader, self._writer, self)
        for name in ("readuntil", "readexactly", "read"):
            setattr(self._reader, name, _Watched(getattr(self._reader, name), self))

    def leave(self) -> None:
        untap_streams(self._reader, self._writer)
        lost = self._reader.exception()
        if lost is not None and not self._timed_out:
            self.broke(lost)

    def tls(self) -> Any:
        return self._writer.get_extra_info("ssl_object")

    def is_gone(self) -> bool:
        return bool(self._writer.transport.is_closing())

    @guard
    def looks_for_the_end(self) -> None:
        """A read gave nothing."""
        if self._reader.at_eof():  # and it was not `read(0)`
            self.peer_closed()

    @guard
    def ends_when_closed(self) -> None:
        protocol = self._writer.transport.get_protocol()
        protocol.connection_lost = _Lost(protocol, self)


class _Watched:
    """A read of a stream, of which it is seen how it fails."""

    __slots__ = ("_connection", "_read")

    def __init__(self, read: Any, connection: _Streams) -> None:
        self._read = read
        self._connection = connection

    async def __call__(self, *args: Any, **kwargs: Any) -> bytes:
        try:
            data: bytes = await self._read(*args, **kwargs)
        except BaseException as error:
            self._connection.broke(error)
            raise
        if not data:
            self._connection.looks_for_the_end()
        return data


class _Lost:
    """``connection_lost`` of the protocol of one connection, with which its session ends."""

    __slots__ = ("_connection", "_protocol")

    def __init__(self, protocol: Any, connection: _Streams) -> None:
        self._protocol = protocol
        self._connection = connection

    def __call__(self, error: Exception | None) -> None:
        vars(self._protocol).pop("connection_lost", None)
        try:
            self._protocol.connection_lost(error)
        finally:
            self._connection.ends(None)


@guard
def _take_streams(service: Service, *args: Any, **kwargs: Any) -> Connection | None:
    given = (*args, *kwargs.values())
    reader = next((found for found in given if hasattr(found, "readuntil")), None)
    writer = next((found for found in given if hasattr(found, "get_extra_info")), None)
    if reader is None or writer is None:
        return None
    peer, local = (address_of(writer.get_extra_info(end)) for end in ("peername", "sockname"))
    opened = service.open(peer, local)
    if opened is None:
        return None
    connection = _Streams(*opened, reader, writer)
    connection.begins()
    return connection
