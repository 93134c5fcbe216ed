"""Sockets that are listened to: while its connection is served a socket has a class of ours, which hears."""

from __future__ import annotations

import contextlib
import functools
import socket
import ssl
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakKeyDictionary

if TYPE_CHECKING:
    from sessionspan.servers.connection import Connection

_heard_by: Final[WeakKeyDictionary[Any, Connection]] = WeakKeyDictionary()


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


def _took(connection: Connection, data: Any, asked: int) -> None:
    if data:
        connection.client(bytes(data))
    elif asked:
        connection.peer_closed()


# `makefile` reads and writes by these, so the files of StreamRequestHandler are heard, too.


class _Heard:
    """A plain socket that is listened to."""

    __slots__ = ()

    @_hears
    def recv(self, connection: Connection, size: int, flags: int = 0) -> Any:
        data = super().recv(size, flags)  # type: ignore[misc]
        if not flags & socket.MSG_PEEK:
            _took(connection, data, size)
        return data

    @_hears
    def recv_into(self, connection: Connection, buffer: Any, nbytes: int = 0, flags: int = 0) -> Any:
        count = super().recv_into(buffer, nbytes, flags)  # type: ignore[misc]
        if not flags & socket.MSG_PEEK:
            _took(connection, memoryview(buffer).cast("B")[:count], len(buffer))
        return count

    @_hears
    def send(self, connection: Connection, data: Any, *flags: int) -> Any:
        count = super().send(data, *flags)  # type: ignore[misc]
        connection.server(bytes(memoryview(data).cast("B")[:count]))
        return count

    @_hears
    def sendall(self, connection: Connection, data: Any, *flags: int) -> Any:
        result = super().sendall(data, *flags)  # type: ignore[misc]
        connection.server(data)
        return result


class _HeardTLS:
    """A TLS socket that is listened to; its ``recv`` and ``recv_into`` read by `read`, its ``sendall`` sends."""

    __slots__ = ()

    @_hears
    def read(self, connection: Connection, size: int = 1024, buffer: Any = None) -> Any:
        found = super().read(size, buffer)  # type: ignore[misc]
        _took(connection, found if buffer is None else memoryview(buffer).cast("B")[:found], size)
        return found

    @_hears
    def send(self, connection: Connection, data: Any, *flags: int) -> Any:
        count = super().send(data, *flags)  # type: ignore[misc]
        connection.server(bytes(memoryview(data).cast("B")[:count]))
        return count

    @_hears
    def write(self, connection: Connection, data: Any) -> Any:
        count = super().write(data)  # type: ignore[misc]
        connection.server(bytes(memoryview(data).cast("B")[:count]))
        return count


def hear(heard: Any, connection: Connection) -> None:
    """Listen in to the socket *heard* for *connection*."""
    with contextlib.suppress(TypeError):  # a socket of somebody's own making, which cannot change its class
        kind: Any = type(heard)
        heard.__class__ = _heard(kind)
        _heard_by[heard] = connection


def hear_wrapped_sockets() -> None:
    """Go on hearing a socket that is wrapped in TLS, also where no instrumentation patches that."""
    global _wraps
    if not _wraps:
        _wraps = True
        context: Any = ssl.SSLContext
        context.wrap_socket = during_handshake(context.wrap_socket)


_wraps = False


def during_handshake(wrap_socket: Callable[..., Any]) -> Callable[..., Any]:
    """``SSLContext.wrap_socket``: a socket that was heard is closed by it, and another one takes its place."""

    @functools.wraps(wrap_socket)
    def wrapper(self: ssl.SSLContext, sock: Any, *args: Any, **kwargs: Any) -> Any:
        connection = _heard_by.get(sock) if isinstance(sock, _Heard) else None
        if connection is None:
            return wrap_socket(self, sock, *args, **kwargs)
        connection.handshake_begins()
        try:
            encrypted = wrap_socket(self, sock, *args, **kwargs)
        except Exception as error:
            connection.handshake_failed(error)
            raise
        connection.goes_on_over(encrypted)
        connection.handshake_done()
        return encrypted

    return wrapper


def leave(heard: Any) -> None:
    """Stop listening to *heard*."""
    if _heard_by.pop(heard, None) is not None:
        heard.__class__ = type(heard).__mro__[2]
