"""Sessions of protocol classes of asyncio: objects that ``loop.create_server`` makes and their transports call.

A transport looks up the methods of its protocol on the object, so they are replaced there; what the protocol
sends is heard at its transport.
"""

from __future__ import annotations

import asyncio
import functools
from asyncio import sslproto
from collections.abc import Callable
from typing import Any, Final

from opentelemetry.context import attach, detach

from sessionspan.addresses import address_of
from sessionspan.guard import guard
from sessionspan.observers import Silent
from sessionspan.protocols import Observer
from sessionspan.servers.connection import Connection, Service
from sessionspan.servers.streams import in_sessions
from sessionspan.session import Session

_CALLS: Final = (
    "connection_made",
    "data_received",
    "get_buffer",
    "buffer_updated",
    "eof_received",
    "connection_lost",
)


def heard_factory(service: Service, factory: Callable[[], Any]) -> Callable[[], Any]:
    """The protocol *factory* of a server, whose protocols are listened to from their first connection on."""

    @functools.wraps(factory, updated=())  # a class has much in its dictionary
    def make() -> Any:
        protocol = factory()
        _hear(service, protocol)
        return protocol

    return make


@guard
def _hear(service: Service, protocol: Any) -> None:
    if service.is_anothers(protocol):
        return
    # What `asyncio.start_server` makes: its callback has the reader and the writer, and it is known when it ends.
    callback = getattr(protocol, "_client_connected_cb", None)
    if callback is None or type(protocol) is not asyncio.StreamReaderProtocol:
        if hasattr(protocol, "__dict__"):  # else there is no room on it
            _Calls(service, protocol)
        return
    if not service.is_anothers(callback):
        vars(protocol)["_client_connected_cb"] = in_sessions(service, callback)


def during_handshake(start_tls: Callable[..., Any]) -> Callable[..., Any]:
    """``loop.start_tls``: another transport takes the place of the first; when it fails that one is closed."""

    @functools.wraps(start_tls)
    async def wrapper(loop: Any, transport: Any, protocol: Any, *args: Any, **kwargs: Any) -> Any:
        calls = _calls_of(protocol)
        connection = calls.connection if calls is not None else None
        if calls is None or connection is None:
            return await start_tls(loop, transport, protocol, *args, **kwargs)
        connection.handshake_begins()
        try:
            encrypted = await start_tls(loop, transport, protocol, *args, **kwargs)
        except BaseException as error:
            connection.handshake_failed(error)
            calls.ends(error)  # Python 3.10 does not tell the protocol
            raise
        connection.goes_on_over(encrypted)
        connection.handshake_done()
        return encrypted

    return wrapper


class _Calls:
    """The calls of a transport to one protocol, made in the session of its connection."""

    __slots__ = ("_buffer", "_originals", "_protocol", "_service", "connection")

    def __init__(self, service: Service, protocol: Any) -> None:
        self._service = service
        self._buffer: Any = None  # where the transport puts what it reads, between the two calls about it
        self.connection: _Transported | None = None
        self.move_to(protocol)

    def move_to(self, protocol: Any) -> None:
        """Listen to *protocol* from now on."""
        self._protocol = protocol
        self._originals = {name: getattr(protocol, name) for name in _CALLS if hasattr(protocol, name)}
        for name in self._originals:
            setattr(protocol, name, getattr(self, name))

    def leave(self) -> None:
        """Put back what was there."""
        for name, original in self._originals.items():
            if getattr(vars(self._protocol).get(name), "__self__", None) is self:
                delattr(self._protocol, name)
                if getattr(self._protocol, name, None) != original:
                    setattr(self._protocol, name, original)  # the object had one of its own

    def _call(self, name: str, *args: Any) -> Any:
        original = self._originals[name]
        return original(*args) if self.connection is None else self.connection.call(original, *args)

    # What the transport calls.

    def connection_made(self, transport: Any) -> None:
        """The protocol has a connection; or another transport for it, when it has seen to TLS itself."""
        self._connect(transport)
        self._call("connection_made", transport)

    def data_received(self, data: Any) -> None:
        """The client sent *data*."""
        if self.connection is not None:
            self.connection.client(bytes(data))
        self._call("data_received", data)

    def get_buffer(self, sizehint: int) -> Any:
        """Where to put what the client sends."""
        self._buffer = self._call("get_buffer", sizehint)
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        """The client sent so many bytes."""
        buffer, self._buffer = self._buffer, None
        if self.connection is not None:
            self.connection.takes(buffer, nbytes)
        self._call("buffer_updated", nbytes)

    def eof_received(self) -> Any:
        """The client has closed its side."""
        if self.connection is not None:
            self.connection.peer_closed()
        return self._call("eof_received")

    def connection_lost(self, error: Exception | None) -> None:
        """The connection is closed."""
        try:
            self._call("connection_lost", error)
        finally:
            self.ends(error)

    @guard
    def _connect(self, transport: Any) -> None:
        if self.connection is not None:
            self.connection.goes_on_over(transport)
            return
        peer, local = (address_of(transport.get_extra_info(end)) for end in ("peername", "sockname"))
        opened = self._service.open(peer, local)
        if opened is None:
            self.leave()
        else:
            self.connection = _Transported(*opened, transport, self)
            self.connection.begins()

    @guard
    def ends(self, error: BaseException | None) -> None:
        """Nothing more is heard of the connection; it was lost because of *error* if there is one."""
        connection, self.connection = self.connection, None
        self.leave()
        if connection is not None:
            connection.lost(error)


def _calls_of(protocol: Any) -> _Calls | None:
    """Who listens to *protocol*."""
    calls = getattr(getattr(protocol, "connection_lost", None), "__self__", None)
    return calls if isinstance(calls, _Calls) else None


class _Transported(Connection):
    """A connection that is a transport."""

    __slots__ = ("_calls", "_failed", "_transport", "_writes")

    def __init__(self, session: Session, observer: Observer, transport: Any, calls: _Calls) -> None:
        # The transports of uvloop cannot be listened to, and one side alone is no dialogue.
        super().__init__(session, observer if hasattr(transport, "__dict__") else Silent())
        self._calls = calls
        self._transport = transport
        self._writes: _Writes | None = None
        self._failed = False

    def listen(self) -> None:
        if hasattr(self._transport, "__dict__"):
            self._writes = _Writes(self._transport, self)

    def leave(self) -> None:
        if self._writes is not None:
            self._writes.leave()
            self._writes = None

    def tls(self) -> Any:
        return self._transport.get_extra_info("ssl_object")

    def is_gone(self) -> bool:
        return bool(self._transport.is_closing())

    @guard
    def takes(self, buffer: Any, size: int) -> None:
        """The client has sent *size* bytes, which are in *buffer*."""
        self.client(bytes(memoryview(buffer).cast("B")[:size]))

    @guard
    def goes_on_over(self, transport: Any) -> None:
        """The protocol has got another *transport* for the same connection."""
        self.leave()
        self._transport = transport
        if self._session.listened_to:
            self.listen()

    @guard
    def goes_to(self, protocol: Any) -> None:
        """The transport has got another *protocol*."""
        if isinstance(protocol, sslproto.SSLProtocol):
            self.leave()  # what the transport sends from now on is encrypted
        elif hasattr(protocol, "__dict__"):
            self._calls.leave()
            self._calls.move_to(protocol)

    def call(self, function: Callable[..., Any], *args: Any) -> Any:
        """Call *function* of the protocol in the session."""
        token = attach(self._session.context)
        try:
            return function(*args)
        except Exception as error:
            self._raised(error)
            raise
        finally:
            detach(token)

    @guard
    def _raised(self, error: Exception) -> None:
        self._failed = True  # asyncio closes the connection because of it
        self._session.failed(error)
        self._session.cause("handler_error")

    def lost(self, error: BaseException | None) -> None:
        """The connection is closed, because of *error* if there is one; the session ends."""
        if error is not None and not self._failed:
            self.broke(error)
        self.ends(None)


class _Writes:
    """What is sent over one transport."""

    __slots__ = ("_connection", "_in_lines", "_originals", "_transport")

    def __init__(self, transport: Any, connection: _Transported) -> None:
        self._connection = connection
        self._in_lines = False
        self._transport = transport
        self._originals = (transport.write, transport.writelines, transport.set_protocol)
        transport.write, transport.writelines = self.write, self.writelines
        transport.set_protocol = self.set_protocol

    def leave(self) -> None:
        """Put back what was there."""
        for name in ("write", "writelines", "set_protocol"):
            vars(self._transport).pop(name, None)

    def write(self, data: Any) -> None:
        """The server sends *data*."""
        self._originals[0](data)
        if not self._in_lines:
            self._connection.server(data)

    def writelines(self, data: Any) -> None:
        """The server sends these lines; some transports write them one by one."""
        lines = list(data)  # may be an iterator
        self._in_lines = True
        try:
            self._originals[1](lines)
        finally:
            self._in_lines = False
        for line in lines:
            self._connection.server(line)

    def set_protocol(self, protocol: Any) -> None:
        """The transport calls another *protocol* from now on."""
        self._originals[2](protocol)
        self._connection.goes_to(protocol)
