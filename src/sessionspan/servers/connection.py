"""A connection of a server that people wrote themselves: who opens its session, and why the session ends."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Coroutine
from types import SimpleNamespace
from typing import Any, Final

from opentelemetry.context import attach, detach

from sessionspan import own
from sessionspan.addresses import Address, transport_of
from sessionspan.events import TLSFailure
from sessionspan.guard import guard
from sessionspan.observers import maker_of
from sessionspan.opening import open_session
from sessionspan.protocols import Observer
from sessionspan.scope import Scope
from sessionspan.session import Session, current_session, type_name
from sessionspan.taps import Wire
from sessionspan.tls import handshake_of

_ENCRYPTED: Final = (ssl.SSLObject, ssl.SSLSocket)

# What a failed read or write says of the connection; the first that fits.
_LOSSES: Final[tuple[tuple[type[BaseException], str], ...]] = (
    (asyncio.IncompleteReadError, "peer_eof"),
    (ssl.SSLEOFError, "peer_eof"),
    (ConnectionError, "peer_reset"),
)


class Service:
    """Who opens the sessions of a server, and which protocol is spoken there.

    *scope* gives the instrumentation scope; *protocol_at* the protocol, in capitals, that is spoken at the local
    address of a connection, or None where there shall be no session.
    """

    __slots__ = ("_protocol_at", "scope")

    def __init__(self, scope: Callable[[], Scope], protocol_at: Callable[[Address], str | None]) -> None:
        self.scope = scope
        self._protocol_at = protocol_at

    def open(self, peer: Address, local: Address) -> tuple[Session, Observer] | None:
        """The session of a connection between these ends, not started yet, with its observer; or None."""
        if current_session() is not None:
            return None  # the library under it has made one
        protocol = self._protocol_at(local)
        if protocol is None:
            return None
        session = open_session(self.scope(), protocol, transport=transport_of(peer, local), peer=peer, local=local)
        return (session, maker_of(protocol)()) if session is not None else None


def speaking(protocol: str) -> Service:
    """The service of a server in which people named the *protocol* themselves."""
    name = protocol.upper()
    maker_of(name)  # imported now, and not while a client waits
    return Service(own.scope, lambda local: name)


class Connection(Wire):
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
