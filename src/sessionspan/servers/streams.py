"""Sessions of callbacks of ``asyncio.start_server``: a reader and a writer for each connection."""

from __future__ import annotations

import asyncio
import functools
import inspect
import sys
from collections.abc import Callable, Coroutine
from typing import Any, Final, TypeVar
from weakref import WeakSet

from opentelemetry.context import attach, detach

from sessionspan.addresses import address_of
from sessionspan.guard import guard
from sessionspan.protocols import Observer
from sessionspan.servers.connection import Connection, Service, speaking
from sessionspan.session import Session
from sessionspan.taps import tap_streams, untap_streams

Function = TypeVar("Function", bound=Callable[..., Any])


def stream_session(protocol: str) -> Callable[[Function], Function]:
    """Decorate a callback of ``asyncio.start_server``, so that each of its connections is a session.

    The callback is a coroutine function or a plain one; it may be a method. The session ends with the coroutine;
    when that leaves the connection open, or there is none, it ends when the connection is closed. *protocol* is a
    name such as ``"pop3"``.
    """
    return functools.partial(in_sessions, speaking(protocol))


def in_sessions(service: Service, callback: Function) -> Function:
    """The *callback*, with a session of *service* for each connection that it is called for."""

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
    found: Any = serves if inspect.iscoroutinefunction(callback) else starts
    _session_makers.add(found)
    return found  # type: ignore[no-any-return]


def makes_sessions(callback: Any) -> bool:
    """Whether *callback* is one that `in_sessions` made."""
    function = getattr(callback, "__func__", callback)
    return inspect.isfunction(function) and function in _session_makers


_session_makers: Final[WeakSet[Any]] = WeakSet()


class _Streams(Connection):
    """A connection of asyncio's streams."""

    __slots__ = ("_cancelled", "_end", "_reader", "_writer")

    def __init__(self, session: Session, observer: Observer, reader: Any, writer: Any) -> None:
        super().__init__(session, observer)
        self._reader = reader
        self._writer = writer
        self._end: _End | None = None
        self._cancelled: _Cancelled | None = None  # the last read

    def listen(self) -> None:
        tap_streams(self._reader, self._writer, self)
        for name in ("readuntil", "readexactly", "read"):
            setattr(self._reader, name, _Watched(getattr(self._reader, name), self))
        self._watch_the_end()

    def leave(self) -> None:
        untap_streams(self._reader, self._writer)
        if self._end is not None:
            self._end.leave()
        lost = self._reader.exception()
        if self._cancelled is not None:
            self._look_at_the_cancelled_read(self._cancelled.reason())
        elif lost is not None and not self._timed_out:
            self.broke(lost)

    def tls(self) -> Any:
        return self._writer.get_extra_info("ssl_object")

    def is_gone(self) -> bool:
        is_closing = getattr(getattr(self._writer, "transport", None), "is_closing", None)
        return is_closing is None or bool(is_closing())

    def client(self, data: bytes) -> None:
        """The client sent *data*."""
        self._cancelled = None
        super().client(data)

    @guard
    def broke(self, error: BaseException) -> None:
        """A read raised *error*."""
        if isinstance(error, asyncio.CancelledError):
            self._cancelled = _Cancelled()
        else:
            super().broke(error)

    def _look_at_the_cancelled_read(self, reason: str | None) -> None:
        self._cancelled = None
        self._timed_out = reason == "timeout"
        if reason == "shutdown":
            self._session.cause(reason)

    @guard
    def looks_for_the_end(self) -> None:
        """A read gave nothing."""
        if self._reader.at_eof():  # and it was not `read(0)`
            self._cancelled = None
            self.peer_closed()

    @guard
    def ends_when_closed(self) -> None:
        """The session ends when the connection is closed."""
        self._watch_the_end()
        if self._end is None:
            self.ends(None)  # nobody would say so
        else:
            self._end.ends_the_session = True

    def _watch_the_end(self) -> None:
        protocol_of = getattr(getattr(self._writer, "transport", None), "get_protocol", None)
        if self._end is None and protocol_of is not None:
            self._end = _End(protocol_of(), self)

    async def await_in_session(self, called: Coroutine[Any, Any, Any]) -> Any:
        """Await *called*, which serves the connection; then the session ends.

        If the connection is open then somebody else goes on with it, and the session ends when it is closed.
        """
        token = attach(self._session.context)
        raised: BaseException | None = None
        try:
            return await called
        except BaseException as error:
            raised = error
            raise
        finally:
            if raised is not None or self.is_gone():
                self.ends(raised)
            else:
                self.ends_when_closed()
            detach(token)
            del raised  # or the traceback and this frame would hold each other


class _Cancelled:
    """A read that was cancelled, and the task in which it was."""

    __slots__ = ("_by_wait_for", "_task")

    def __init__(self) -> None:
        self._task = asyncio.current_task()
        # Until Python 3.11 `wait_for` makes a task of the read, which it cancels when the time is up.
        callbacks = getattr(self._task, "_callbacks", None) if sys.version_info < (3, 12) else None
        names = [getattr(getattr(callback, "func", None), "__name__", "") for callback, _ in callbacks or ()]
        self._by_wait_for = "_release_waiter" in names

    def reason(self) -> str | None:
        """Why it was, now that the server has come to its end: timeout, shutdown; None when it wanted so."""
        serving = asyncio.current_task()
        if serving is not None and getattr(serving, "cancelling", int)():
            return "shutdown"  # the server's own task was cancelled, and came to its end all the same
        if self._by_wait_for:
            return "timeout"
        if self._task is None or (self._task.done() and self._task.cancelled()):
            return None
        # A task that goes on had been cancelled by `asyncio.timeout`, which Python 3.10 has not.
        return "timeout" if hasattr(self._task, "cancelling") else "shutdown"


class _Watched:
    """A read of a stream, of which it is seen how it fails."""

    __slots__ = ("_connection", "_read")

    def __init__(self, read: Any, connection: _Streams) -> None:
        self._read = read
        self._connection = connection

    @property
    def __self__(self) -> Any:
        """Whose method it stands before."""
        return getattr(self._read, "__self__", None)

    async def __call__(self, *args: Any, **kwargs: Any) -> bytes:
        try:
            data: bytes = await self._read(*args, **kwargs)
        except BaseException as error:
            self._connection.broke(error)
            raise
        if not data:
            self._connection.looks_for_the_end()
        return data


class _End:
    """The calls to the protocol of one connection that tell of its end, replaced on that object."""

    __slots__ = ("_connection", "_protocol", "ends_the_session")

    def __init__(self, protocol: Any, connection: _Streams) -> None:
        self._connection = connection
        self._protocol = protocol
        self.ends_the_session = False
        protocol.eof_received = self.eof_received
        protocol.connection_lost = self.connection_lost

    def leave(self) -> None:
        """Put back what was there."""
        for name in ("eof_received", "connection_lost"):
            vars(self._protocol).pop(name, None)

    def eof_received(self) -> Any:
        """The client has closed its side, whether anybody reads or not."""
        vars(self._protocol).pop("eof_received", None)
        self._connection.peer_closed()
        return self._protocol.eof_received()

    def connection_lost(self, error: Exception | None) -> None:
        """The connection is closed, because of *error* if there is one."""
        self.leave()
        if error is not None:
            self._connection.broke(error)
        try:
            self._protocol.connection_lost(error)
        finally:
            if self.ends_the_session:
                self._connection.ends(None)


@guard
def _take_streams(service: Service, *args: Any, **kwargs: Any) -> _Streams | None:
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
