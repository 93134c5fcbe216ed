"""Opening sessions: where an instrumentation gets one, or learns that there shall be none."""

from __future__ import annotations

from opentelemetry.context import get_current
from opentelemetry.instrumentation.utils import is_instrumentation_enabled

from sessionspan.addresses import UNKNOWN, Address, parse_ip
from sessionspan.guard import guard
from sessionspan.scope import Scope
from sessionspan.session import Session, Side, current_session
from sessionspan.settings import settings


def open_session(
    scope: Scope,
    protocol: str,
    *,
    side: Side = Side.SERVER,
    transport: str = "tcp",
    peer: Address = UNKNOWN,
    local: Address = UNKNOWN,
    server: Address = UNKNOWN,
    behind_proxy: bool = False,
    device: str | None = None,
) -> Session | None:
    """A new session that has not started yet; *behind_proxy* when a header will say who the client is.
    *device* is the type of the device that a client connects to.

    None when there shall be none: *scope* is uninstrumented, instrumentation is suppressed in this
    context, the connection has a session, or the client is to be ignored (``SESSIONSPAN_IGNORE_CLIENTS``).
    """
    try:  # for each connection: so the guard stands here in full, without the call that its decorator is
        if not scope.bound or (not behind_proxy and is_ignored(peer)):
            return None
        # An empty context, as most servers have when a connection is made, says nothing.
        if get_current() and (not is_instrumentation_enabled() or _has_session(side, peer)):
            return None
        return Session(
            scope,
            protocol,
            side=side,
            transport=transport,
            peer=peer,
            local=local,
            server=server,
            behind_proxy=behind_proxy,
            device=device,
        )
    except Exception as error:  # noqa: BLE001 - as in the guard
        guard.failed(error)
        return None


def _has_session(side: Side, peer: Address) -> bool:
    """Whether this code runs inside the session of the same connection: what serves it is instrumented twice."""
    session = current_session()
    if session is None or session.side is not side or session.peer.host != peer.host:
        return False
    # Of a listener that was made inside a session the connections inherit that one: they have another port.
    return session.peer.port == peer.port or None in (session.peer.port, peer.port)


def is_ignored(client: Address) -> bool:
    """Whether connections of *client* are no sessions, by ``SESSIONSPAN_IGNORE_CLIENTS``."""
    networks = settings().ignore_clients
    if not networks or client.host is None:
        return False
    address = parse_ip(client.host)
    return address is not None and any(address in network for network in networks)
