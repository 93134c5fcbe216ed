"""One span per IMAP or ManageSieve connection served by pymap.

``IMAPServer.__call__``, ``ManageSieveServer.__call__``   run once per connection, behind the PROXY header: the
                                                          session, and its end.
``IMAPConnection.start_tls``,
``ManageSieveConnection._do_starttls``                    shake hands after STARTTLS.
``ManageSieveConnection._login``, ``FilterState.run``     call the backend, of whose errors the client is told
                                                          nothing but that there was one, and the session goes on.
"""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Callable
from typing import Any, Final

from sessionspan.addresses import Address, address_of, transport_of
from sessionspan.events import TLSFailure
from sessionspan.instrumentor import Patch, SessionInstrumentor
from sessionspan.opening import is_ignored, open_session
from sessionspan.protocols import Observer
from sessionspan.protocols.imap import IMAPObserver
from sessionspan.protocols.managesieve import ManageSieveObserver
from sessionspan.scope import Scope
from sessionspan.session import Session, current_session
from sessionspan.taps import Wire, tap_streams, untap_streams
from sessionspan.tls import handshake_of
from sessionspan.wrappers import after_awaiting, after_raising, before, whole_session
from sessionspan_pymap.wire_log import WIRE_LOG

_scope: Final = Scope("sessionspan_pymap")

# Sessions of which a client was told to go on with STARTTLS. Kept here: pymap's objects have no room for it.
_shaking_hands: Final[weakref.WeakSet[Session]] = weakref.WeakSet()


def _serves_imap(server: Any, reader: Any, writer: Any, sock_info: Any) -> Session | None:
    """pymap begins to serve an IMAP connection."""
    return _serves("IMAP", IMAPObserver, server, reader, writer, sock_info)


def _serves_managesieve(server: Any, reader: Any, writer: Any, sock_info: Any) -> Session | None:
    """pymap begins to serve a ManageSieve connection."""
    return _serves("MANAGESIEVE", ManageSieveObserver, server, reader, writer, sock_info)


def _serves(
    protocol: str, observer: Callable[[], Observer], server: Any, reader: Any, writer: Any, sock_info: Any
) -> Session | None:
    """Open the session of a connection, and listen in to what pymap reads and writes."""
    expects_header = type(server._config.proxy_protocol).__name__ != "ProxyProtocolNoop"
    proxied = type(sock_info).__name__ == "SocketInfoProxy"
    client = address_of(sock_info.peername)
    if expects_header and (not proxied or is_ignored(client)):
        return None  # PROXY protocol version 2, section 2.2: LOCAL, the proxy's own health check
    session = _open(protocol, writer, expects_header)
    if session is None:
        return None
    handshake = handshake_of(writer, "implicit")
    if handshake is not None:
        session.record_at_start(handshake)
    if proxied:
        _tell_proxy(session, server, sock_info, client)
    session.start()
    if session.listened_to:
        tap_streams(reader, writer, Wire(session, observer()))
    return session


def _open(protocol: str, writer: Any, behind_proxy: bool) -> Session | None:
    peer, local = (address_of(writer.get_extra_info(end)) for end in ("peername", "sockname"))
    return open_session(
        _scope,
        protocol,
        transport=transport_of(peer, local),
        peer=peer,
        local=local,
        behind_proxy=behind_proxy,
    )


def _tell_proxy(session: Session, server: Any, sock_info: Any, client: Address) -> None:
    if getattr(sock_info._result, "exception", None) is not None:
        session.cause("proxy_invalid")
        return
    # Of a header whose version was detected only the second one says TCP, or has a unix socket's path.
    second = type(server._config.proxy_protocol).__name__ == "ProxyProtocolV2"
    second = second or sock_info.protocol is not None or (client.host is not None and client.port is None)
    session.set_proxy("proxy_v2" if second else "proxy_v1", client)


def _handshake_begins(connection: Any) -> None:
    session = current_session()
    if session is not None:
        _shaking_hands.add(session)


def _handshake_done(result: Any, connection: Any) -> None:
    session = current_session()
    if session is None:
        return
    _shaking_hands.discard(session)
    handshake = handshake_of(connection.writer, "starttls")
    if handshake is not None and session.tls_mode == "none":  # else it was refused, for there is TLS already
        session.record(handshake)


def _backend_raised(error: Exception, *args: Any, **kwargs: Any) -> None:
    """The backend raised *error*, which pymap keeps to itself; its own ones are what it refuses a client with."""
    session = current_session()
    if session is not None and not any(kind.__name__ == "ResponseError" for kind in type(error).__mro__):
        session.failed(error)


def _served(
    session: Session, raised: BaseException | None, server: Any, reader: Any, writer: Any, sock_info: Any
) -> None:
    """The connection was served to its end, or *raised*."""
    untap_streams(reader, writer)
    if isinstance(raised, GeneratorExit):
        # Nobody holds the task that serves: in Python 3.13 the garbage collector may find it.
        session.cause("garbage_collected")
        return
    if session in _shaking_hands:
        session.record(TLSFailure(mode="starttls", error_type="_OTHER"))  # pymap keeps the error to itself
    lost = _lost(reader)
    if isinstance(raised, Exception) and raised is not lost:
        if isinstance(raised.__context__, asyncio.LimitOverrunError):
            session.cause("limit")  # a peer's endless line is no failure of ours
        else:
            session.failed(raised)
            session.cause("handler_error")
    session.cause(_end(reader, lost))


def _lost(reader: Any) -> BaseException | None:
    exception = getattr(reader, "exception", None)  # not every reader is asyncio's
    return exception() if exception is not None else None


def _end(reader: Any, lost: BaseException | None) -> str:
    # pymap catches what ends a connection, its own cancellation included, and returns.
    task: Any = asyncio.current_task()  # `cancelling` is there from Python 3.11 on, and so is pymap
    if task is not None and task.cancelling():
        return "shutdown"
    if lost is not None:
        return "timeout" if isinstance(lost, TimeoutError) else "peer_reset"
    return "peer_eof" if reader.at_eof() else "local_close"


class PymapInstrumentor(SessionInstrumentor):
    """Instruments pymap: IMAP and ManageSieve servers."""

    scope = _scope
    instruments = "pymap >= 0.36.7, < 1"
    log_filter = WIRE_LOG
    patches = (
        Patch("pymap.imap", "IMAPServer.__call__", whole_session(_serves_imap, _served)),
        Patch("pymap.imap", "IMAPConnection.start_tls", before(_handshake_begins)),
        Patch("pymap.imap", "IMAPConnection.start_tls", after_awaiting(_handshake_done)),
        Patch("pymap.sieve.manage", "ManageSieveServer.__call__", whole_session(_serves_managesieve, _served)),
        Patch("pymap.sieve.manage", "ManageSieveConnection._do_starttls", before(_handshake_begins)),
        Patch("pymap.sieve.manage", "ManageSieveConnection._do_starttls", after_awaiting(_handshake_done)),
        Patch("pymap.sieve.manage", "ManageSieveConnection._login", after_raising(_backend_raised)),
        Patch("pymap.sieve.manage", "FilterState.run", after_raising(_backend_raised)),
    )
