"""Sessions of ``socketserver`` request handlers."""

from __future__ import annotations

import contextlib
import functools
import socket
from collections.abc import Callable
from typing import Any, TypeVar

from sessionspan import forks
from sessionspan.addresses import UNKNOWN, address_of
from sessionspan.guard import guard
from sessionspan.protocols import Observer
from sessionspan.servers import sockets
from sessionspan.servers.connection import Connection, Service, speaking
from sessionspan.session import Session

Handler = TypeVar("Handler", bound=type)


def handler_session(protocol: str) -> Callable[[Handler], Handler]:
    """Decorate a class of ``socketserver`` request handlers, so that each of its connections is a session.

    It begins before ``setup`` and ends after ``finish``. *protocol* is a name such as ``"smtp"``.
    """
    service = speaking(protocol)

    def decorate(handler: Handler) -> Handler:
        sockets.hear_wrapped_sockets()
        handler.__init__ = in_sessions(service, handler.__init__)  # type: ignore[misc]
        return handler

    return decorate


def in_sessions(service: Service, serves: Callable[..., None]) -> Callable[..., None]:
    """*serves*, the ``__init__`` of a request handler, which serves its connection: in a session of *service*."""

    @functools.wraps(serves)
    def init(self: Any, *args: Any, **kwargs: Any) -> None:
        connection = _take_request(service, self, *args, **kwargs)
        if connection is None:
            serves(self, *args, **kwargs)
        else:
            connection.call_in_session(serves, self, *args, **kwargs)
            connection.ends(None)

    return init


class _Request(Connection):
    """A connection of socketserver. Its socket gets a class of ours while it is served, which listens."""

    __slots__ = ("_socket",)

    def __init__(self, session: Session, observer: Observer, request: Any) -> None:
        super().__init__(session, observer)
        self._socket = request

    def listen(self) -> None:
        sockets.hear(self._socket, self)

    def leave(self) -> None:
        sockets.leave(self._socket)

    def tls(self) -> Any:
        return self._socket

    @guard
    def goes_on_over(self, carrier: Any) -> None:
        """The handler has wrapped its socket in TLS: *carrier* is the socket now."""
        self.leave()
        self._socket = carrier
        self.listen()


@guard
def _take_request(
    service: Service, handler: Any, request: Any, client_address: Any = None, server: Any = None, **kwargs: Any
) -> Connection | None:
    if not isinstance(request, socket.socket):  # a datagram
        return None
    if service.is_anothers(handler):
        return None
    local = UNKNOWN
    with contextlib.suppress(OSError):
        local = address_of(request.getsockname())
    if any(kind.__name__ == "ForkingMixIn" for kind in type(server).__mro__):
        forks.serves_one_connection(service.scope())
    opened = service.open(address_of(client_address), local)
    if opened is None:
        return None
    connection = _Request(*opened, request)
    connection.begins()
    return connection
