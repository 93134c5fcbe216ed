"""A connection of a server that people wrote themselves: who opens its session, and why the session ends."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, Final

from opentelemetry.context import attach, detach

from sessionspan import own
from sessionspan.addresses import Address, transport_of
from sessionspan.ending import type_name
from sessionspan.events import TLSFailure
from sessionspan.guard import guard
from sessionspan.observers import maker_of
from sessionspan.opening import open_session
from sessionspan.protocols import Observer
from sessionspan.scope import Scope
from sessionspan.session import Session
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

    def is_anothers(self, served: Any) -> bool:
        """Whether *served*, a callback, a protocol or a handler, has its sessions from somebody else."""
        return False  # people who name the protocol in their code mean this one

    def open(self, peer: Address, local: Address) -> tuple[Session, Observer] | None:
        """The session of a connection between these ends, not started yet, with its observer; or None."""
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

    __slots__ = ("_error", "_shaking_hands", "_timed_out", "_tls_mode")

    def __init__(self, session: Session, observer: Observer) -> None:
        super().__init__(session, observer)
        self._tls_mode = "implicit"  # what a handshake that is seen now would be
        self._shaking_hands = False
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

    def goes_on_over(self, carrier: Any) -> None:
        """Another transport or socket has taken the place of the first."""
        raise NotImplementedError

    def is_gone(self) -> bool:
        """Whether the connection is lost or closed."""
        return False

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
        if isinstance(error, TimeoutError):
            self._timed_out = True
            return
        for kind, reason in _LOSSES:
            if isinstance(error, kind):
                self._error = error
                self._session.cause(reason)
                return

    @guard
    def handshake_begins(self) -> None:
        """The server begins to encrypt the connection."""
        self._shaking_hands = True

    @guard
    def handshake_done(self) -> None:
        """It is encrypted; unless the first read shakes hands only."""
        self._tell_tls()

    @guard
    def handshake_failed(self, error: BaseException | None) -> None:
        """It cannot be encrypted, because of *error* if that is known."""
        self._shaking_hands = False
        self._error = error
        error_type = "_OTHER" if error is None else type_name(error)
        self._session.record(TLSFailure(mode=self._tls_mode, error_type=error_type))

    def _tell_tls(self) -> None:
        if self._session.tls_mode == "none":
            found = self.tls()
            # Without a version the handshake is still to come, or the handler has closed the socket.
            if isinstance(found, _ENCRYPTED) and found.version() is not None:
                handshake = handshake_of(SimpleNamespace(get_extra_info={"ssl_object": found}.get), self._tls_mode)
                if handshake is not None:
                    self._shaking_hands = False
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

    def ends(self, raised: BaseException | None) -> None:
        """The connection was served to its end, or the server's code *raised*."""
        self._look_at_the_end(raised)
        self._error = None
        self._session.end(self._session.end_reason or "local_close")

    @guard
    def _look_at_the_end(self, raised: BaseException | None) -> None:
        self.leave()
        self._tell_tls()
        if raised is not None and not isinstance(raised, Exception):
            self._session.cause("shutdown")  # cancelled, or the process ends
        elif self._session.tls_mode == "none" and (self._shaking_hands or isinstance(raised, ssl.SSLError)):
            self.handshake_failed(raised if isinstance(raised, ssl.SSLError) else None)
        elif self._timed_out and (raised is None or isinstance(raised, (OSError, asyncio.TimeoutError))):
            self._session.cause("timeout")
        elif raised is not None:
            self._look_at(raised)

    def _look_at(self, raised: Exception) -> None:
        if raised is self._error:
            return  # the connection's own, of which `broke` has said what it is
        if isinstance(raised, ConnectionError) and self.is_gone():
            self._session.cause("peer_reset")
        else:
            self._session.failed(raised)
            self._session.cause("handler_error")
