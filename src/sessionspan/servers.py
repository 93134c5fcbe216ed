"""Sessions for servers that people wrote themselves, on ``asyncio.start_server`` or ``socketserver``.

`stream_session` decorates the callback of ``asyncio.start_server``, `handler_session` a class of request
handlers. Both open a session for each connection, listen in to its bytes with the observer of the protocol,
if there is one, and end it with the connection; what the server returns or raises goes through unchanged.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import importlib
import inspect
import socket
import ssl
from collections.abc import Callable, Coroutine, Mapping, Sequence
from types import SimpleNamespace
from typing import Any, Final, NamedTuple, TypeVar
from weakref import WeakKeyDictionary

from opentelemetry.context import attach, detach

from sessionspan.addresses import UNKNOWN, Address, address_of, transport_of
from sessionspan.events import Event, TLSFailure
from sessionspan.guard import guard
from sessionspan.manual import _scope, _set_up
from sessionspan.opening import open_session
from sessionspan.protocols import Observer
from sessionspan.session import Session, current_session, type_name
from sessionspan.taps import Wire, tap_streams, untap_streams
from sessionspan.tls import handshake_of

Function = TypeVar("Function", bound=Callable[..., Any])
Handler = TypeVar("Handler", bound=type)


class _Silent:
    """The observer of a protocol that there is none for."""

    __slots__ = ()
    knows_secrets = False  # so nothing of what it hears is known to be none
    end_reason: str | None = None
    unfinished = False

    def client_sent(self, data: bytes) -> Sequence[Event]:
        return ()

    def server_sent(self, data: bytes) -> Sequence[Event]:
        return ()

    def finish(self) -> Sequence[Event]:
        return ()


class _Factory(NamedTuple):
    """Where the observer of a protocol is found, and how it is made; it is imported where it is used only."""

    module: str
    name: str
    options: Mapping[str, Any] = {}

    def load(self) -> Callable[[], Observer]:
        """What makes the observer of one connection."""
        return functools.partial(getattr(importlib.import_module(self.module), self.name), **self.options)


# Not in lock-step: a server of one's own may take many lines at once.
_OBSERVERS: Final[dict[str, _Factory]] = {
    "FTP": _Factory("sessionspan.protocols.ftp", "FTPObserver"),
    "IMAP": _Factory("sessionspan.protocols.imap", "IMAPObserver"),
    "LMTP": _Factory("sessionspan.protocols.smtp", "SMTPObserver", {"lmtp": True}),
    "MANAGESIEVE": _Factory("sessionspan.protocols.managesieve", "ManageSieveObserver"),
    "POP3": _Factory("sessionspan.protocols.pop3", "POP3Observer"),
    "SMTP": _Factory("sessionspan.protocols.smtp", "SMTPObserver"),
}
_NONE: Final = _Factory(__name__, "_Silent")

_ENCRYPTED: Final = (ssl.SSLObject, ssl.SSLSocket)

# What a failed read or write says of the connection; the first that fits.
_LOSSES: Final[tuple[tuple[type[BaseException], str], ...]] = (
    (asyncio.IncompleteReadError, "peer_eof"),
    (ssl.SSLEOFError, "peer_eof"),
    (ConnectionError, "peer_reset"),
)


def stream_session(protocol: str) -> Callable[[Function], Function]:
    """Decorate a callback of ``asyncio.start_server``, so that each of its connections is a session.

    The callback is a coroutine function, with which the session ends, or a plain one: then it ends when the
    connection is closed. It may be a method. *protocol* is a name such as ``"pop3"``.
    """
    spoken = _Protocol(protocol)

    def decorate(callback: Function) -> Function:
        @functools.wraps(callback)
        async def serves(*args: Any, **kwargs: Any) -> Any:
            connection = _take_streams(spoken, *args, **kwargs)
            called = callback(*args, **kwargs)
            return await (called if connection is None else connection.await_in_session(called))

        @functools.wraps(callback)
        def starts(*args: Any, **kwargs: Any) -> Any:
            connection = _take_streams(spoken, *args, **kwargs)
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


def handler_session(protocol: str) -> Callable[[Handler], Handler]:
    """Decorate a class of ``socketserver`` request handlers, so that each of its connections is a session.

    It begins before ``setup`` and ends after ``finish``. *protocol* is a name such as ``"smtp"``.
    """
    spoken = _Protocol(protocol)

    def decorate(handler: Handler) -> Handler:
        original = handler.__init__  # type: ignore[misc]  # socketserver serves in there

        @functools.wraps(original)
        def serves(self: Any, *args: Any, **kwargs: Any) -> None:
            connection = _take_request(spoken, self, *args, **kwargs)
            if connection is None:
                original(self, *args, **kwargs)
            else:
                connection.call_in_session(original, self, *args, **kwargs)
                connection.ends(None)

        handler.__init__ = serves  # type: ignore[misc]
        return handler

    return decorate


class _Connection(Wire):
    """The wire of a connection that a server of one's own has taken; it sees why the session ends."""

    __slots__ = ("_error", "_timed_out", "_tls_mode")

    def __init__(self, session: Session, observer: Observer) -> None:
        super().__init__(session, observer)
        self._tls_mode = "implicit"  # what a handshake that is seen now would be
        self._error: BaseException | None = None
        self._timed_out = False  # the last read did

    def begins(self) -> None:
        """The session starts."""
        self._session.start()
        self._tell_tls()
        if not isinstance(self.tls(), _ENCRYPTED):
            self._tls_mode = "starttls"
        if self._session.listened_to:
            self.listen()

    # What kinds of connections differ in.

    def listen(self) -> None:
        """Listen in."""
        raise NotImplementedError

    def leave(self) -> None:
        """Stop listening, and put back what was there."""
        raise NotImplementedError

    def tls(self) -> Any:
        """What encrypts the connection, if anything does."""
        raise NotImplementedError

    def is_gone(self) -> bool:
        """Whether the connection is lost or closed."""
        return False

    def ends_when_closed(self) -> None:
        """The session ends when the connection is closed."""
        raise NotImplementedError

    # What is heard.

    @guard
    def client(self, data: bytes) -> None:
        """The client sent *data*."""
        self._timed_out = False
        self._tell_tls()
        super().client(data)

    @guard
    def server(self, data: bytes) -> None:
        """The server sent *data*."""
        super().server(bytes(data))

    @guard
    def peer_closed(self) -> None:
        """The client has closed its side."""
        self._timed_out = False
        self._session.cause("peer_eof")

    @guard
    def broke(self, error: BaseException) -> None:
        """A read or a write raised *error*."""
        if isinstance(error, (asyncio.CancelledError, TimeoutError)):
            self._timed_out = True  # `wait_for` cancels the read; unless the handler itself was cancelled
            return
        for kind, reason in _LOSSES:
            if isinstance(error, kind):
                self._error = error
                self._session.cause(reason)
                return

    def _tell_tls(self) -> None:
        if self._session.tls_mode == "none":
            found = self.tls()
            # Without a version the handshake is still to come, or the handler has closed the socket.
            if isinstance(found, _ENCRYPTED) and found.version() is not None:
                handshake = handshake_of(SimpleNamespace(get_extra_info={"ssl_object": found}.get), self._tls_mode)
                if handshake is not None:
                    self._session.record(handshake)

    # The server's code, inside the session.

    def call_in_session(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Call *function*; when it raises, the session ends."""
        token = attach(self._session.context)
        try:
            return function(*args, **kwargs)
        except BaseException as error:
            self.ends(error)
            raise
        finally:
            detach(token)

    async def await_in_session(self, called: Coroutine[Any, Any, Any]) -> Any:
        """Await *called*, which serves the connection; then the session ends."""
        token = attach(self._session.context)
        raised: BaseException | None = None
        try:
            return await called
        except BaseException as error:
            raised = error
            raise
        finally:
            self.ends(raised)
            detach(token)
            del raised  # or the traceback and this frame would hold each other

    def ends(self, raised: BaseException | None) -> None:
        """The connection was served to its end, or the server's code *raised*."""
        self._look_at_the_end(raised)
        self._error = None
        self._session.end(self._session.end_reason or "local_close")

    @guard
    def _look_at_the_end(self, raised: BaseException | None) -> None:
        self.leave()
        self._tell_tls()
        session = self._session
        if raised is None:
            if self._timed_out:
                session.cause("timeout")
        elif not isinstance(raised, Exception):
            session.cause("shutdown")  # cancelled, or the process ends
        elif self._timed_out and isinstance(raised, (OSError, asyncio.TimeoutError)):
            session.cause("timeout")
        elif raised is self._error:
            pass  # the connection's own, of which `broke` has said what it is
        elif isinstance(raised, ConnectionError) and self.is_gone():
            session.cause("peer_reset")
        elif isinstance(raised, ssl.SSLError) and session.tls_mode == "none":
            session.record(TLSFailure(mode=self._tls_mode, error_type=type_name(raised)))
        else:
            session.failed(raised)
            session.cause("handler_error")


class _Protocol:
    """A protocol that a decorator was given, with its observer."""

    __slots__ = ("name", "observer")

    def __init__(self, name: str) -> None:
        self.name = name.upper()
        self.observer = _OBSERVERS.get(self.name, _NONE).load()


def _open(protocol: _Protocol, peer: Address, local: Address) -> tuple[Session, Observer] | None:
    if current_session() is not None:
        return None  # the library under it has made one
    if not _scope.bound:
        _set_up()
    session = open_session(_scope, protocol.name, transport=transport_of(peer, local), peer=peer, local=local)
    return (session, protocol.observer()) if session is not None else None


# asyncio.start_server


class _Streams(_Connection):
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
def _take_streams(protocol: _Protocol, *args: Any, **kwargs: Any) -> _Connection | None:
    given = (*args, *kwargs.values())
    reader = next((found for found in given if hasattr(found, "readuntil")), None)
    writer = next((found for found in given if hasattr(found, "get_extra_info")), None)
    if reader is None or writer is None:
        return None
    peer, local = (address_of(writer.get_extra_info(end)) for end in ("peername", "sockname"))
    opened = _open(protocol, peer, local)
    if opened is None:
        return None
    connection = _Streams(*opened, reader, writer)
    connection.begins()
    return connection


# socketserver


class _Request(_Connection):
    """A connection of socketserver. Its socket gets a class of ours while it is served, which listens."""

    __slots__ = ("_handler", "_socket")

    def __init__(self, session: Session, observer: Observer, handler: Any, request: Any) -> None:
        super().__init__(session, observer)
        self._handler = handler
        self._socket = request

    def listen(self) -> None:
        with contextlib.suppress(TypeError):  # a socket of somebody's own making, which cannot change its class
            kind: Any = type(self._socket)
            self._socket.__class__ = _heard(kind)
            _heard_by[self._socket] = self

    def leave(self) -> None:
        if _heard_by.pop(self._socket, None) is not None:
            self._socket.__class__ = type(self._socket).__mro__[2]

    def tls(self) -> Any:
        # A handler that does STARTTLS puts the new socket here.
        return getattr(self._handler, "request", self._socket)


_heard_by: Final[WeakKeyDictionary[Any, _Request]] = WeakKeyDictionary()


@functools.lru_cache(maxsize=16)
def _heard(kind: Any) -> Any:
    """The class of sockets of *kind* that are listened to."""
    listens = _HeardTLS if issubclass(kind, ssl.SSLSocket) else _Heard
    return type(kind.__name__, (listens, kind), {"__slots__": (), "__module__": kind.__module__})


def _hears(call: Callable[..., Any]) -> Callable[..., Any]:
    """Let *call* see the connection of its socket, if there is one, and what fails."""

    @functools.wraps(call)
    def heard(self: Any, *args: Any, **kwargs: Any) -> Any:
        connection = _heard_by.get(self)
        if connection is None:  # a duplicate, or no longer
            return getattr(super(_base(type(self)), self), call.__name__)(*args, **kwargs)
        try:
            return call(self, connection, *args, **kwargs)
        except BaseException as error:
            connection.broke(error)
            raise

    return heard


def _base(kind: type) -> type:
    """The one of our two classes that *kind* has."""
    return _HeardTLS if issubclass(kind, _HeardTLS) else _Heard


def _took(connection: _Request, data: Any, asked: int) -> None:
    if data:
        connection.client(bytes(data))
    elif asked:
        connection.peer_closed()


# `makefile` reads and writes by these, so the files of StreamRequestHandler are heard, too.


class _Heard:
    """A plain socket that is listened to."""

    __slots__ = ()

    @_hears
    def recv(self, connection: _Request, size: int, flags: int = 0) -> Any:
        data = super().recv(size, flags)  # type: ignore[misc]
        if not flags & socket.MSG_PEEK:
            _took(connection, data, size)
        return data

    @_hears
    def recv_into(self, connection: _Request, buffer: Any, nbytes: int = 0, flags: int = 0) -> Any:
        count = super().recv_into(buffer, nbytes, flags)  # type: ignore[misc]
        if not flags & socket.MSG_PEEK:
            _took(connection, memoryview(buffer).cast("B")[:count], len(buffer))
        return count

    @_hears
    def send(self, connection: _Request, data: Any, *flags: int) -> Any:
        count = super().send(data, *flags)  # type: ignore[misc]
        connection.server(bytes(memoryview(data).cast("B")[:count]))
        return count

    @_hears
    def sendall(self, connection: _Request, data: Any, *flags: int) -> Any:
        result = super().sendall(data, *flags)  # type: ignore[misc]
        connection.server(data)
        return result


class _HeardTLS:
    """A TLS socket that is listened to; its ``recv`` and ``recv_into`` read by `read`, its ``sendall`` sends."""

    __slots__ = ()

    @_hears
    def read(self, connection: _Request, size: int = 1024, buffer: Any = None) -> Any:
        found = super().read(size, buffer)  # type: ignore[misc]
        _took(connection, found if buffer is None else memoryview(buffer).cast("B")[:found], size)
        return found

    @_hears
    def send(self, connection: _Request, data: Any, *flags: int) -> Any:
        count = super().send(data, *flags)  # type: ignore[misc]
        connection.server(bytes(memoryview(data).cast("B")[:count]))
        return count

    @_hears
    def write(self, connection: _Request, data: Any) -> Any:
        count = super().write(data)  # type: ignore[misc]
        connection.server(bytes(memoryview(data).cast("B")[:count]))
        return count


@guard
def _take_request(
    protocol: _Protocol, handler: Any, request: Any, client_address: Any = None, server: Any = None, **kwargs: Any
) -> _Connection | None:
    if not isinstance(request, socket.socket):  # a datagram
        return None
    if any(kind.__name__ == "ForkingMixIn" for kind in type(server).__mro__):
        return None  # the child would have to export, but ends by `os._exit`, without a last chance to do so
    local = UNKNOWN
    with contextlib.suppress(OSError):
        local = address_of(request.getsockname())
    opened = _open(protocol, address_of(client_address), local)
    if opened is None:
        return None
    connection = _Request(*opened, handler, request)
    connection.begins()
    return connection
