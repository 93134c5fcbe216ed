"""Sessions of ``socketserver`` request handlers."""

from __future__ import annotations

import contextlib
import functools
import socket
from collections.abc import Callable
from typing import Any, TypeVar

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
        original = handler.__init__  # type: ignore[misc]  # socketserver serves in there

        @functools.wraps(original)
        def serves(self: Any, *args: Any, **kwargs: Any) -> None:
            connection = _take_request(service, self, *args, **kwargs)
            if connection is None:
                original(self, *args, **kwargs)
            else:
                connection.call_in_session(original, self, *args, **kwargs)
                connection.ends(None)

        handler.__init__ = serves  # type: ignore[misc]
        return handler

    return decorate


class _Request(Connection):
    """A connection of socketserver. Its socket gets a class of ours while it is served, which listens."""

    __slots__ = ("_handler", "_socket")

    def __init__(self, session: Session, observer: Observer, handler: Any, request: Any) -> None:
        super().__init__(session, observer)
        self._handler = handler
        self._socket = request

    def listen(self) -> None:
        sockets.hear(self._socket, self)

    def leave(self) -> None:
        sockets.leave(self._socket)

    def tls(self) -> Any:
        # A handler that does STARTTLS puts the new socket here.
        return getattr(self._handler, "request", self._socket)


@guard
def _take_request(
    service: Service, handler: Any, request: Any, client_address: Any = None, server: Any = None, **kwargs: Any
) -> Connection | None:
    if not isinstance(request, socket.socket):  # a datagram
        return None
    if any(kind.__name__ == "ForkingMixIn" for kind in type(server).__mro__):
        return None  # the child would have to export, but ends by `os._exit`, without a last chance to do so
    local = UNKNOWN
    with contextlib.suppress(OSError):
        local = address_of(request.getsockname())
    opened = service.open(address_of(client_address), local)
    if opened is None:
        return None
    connection = _Request(*opened, handler, request)
    connection.begins()
    return connection
