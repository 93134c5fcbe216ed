"""Opening sessions: where an instrumentation gets one, or learns that there shall be none."""

from __future__ import annotations

from opentelemetry.instrumentation.utils import is_instrumentation_enabled

from sessionspan.addresses import UNKNOWN, Address, parse_ip
from sessionspan.guard import guard
from sessionspan.scope import Scope
from sessionspan.session import Session, Side
from sessionspan.settings import settings


@guard
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
    context, or the client is to be ignored (``SESSIONSPAN_IGNORE_CLIENTS``).
    """
    if not scope.bound or not is_instrumentation_enabled() or (not behind_proxy and is_ignored(peer)):
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


def is_ignored(client: Address) -> bool:
    """Whether connections of *client* are no sessions, by ``SESSIONSPAN_IGNORE_CLIENTS``."""
    networks = settings().ignore_clients
    if not networks or client.host is None:
        return False
    address = parse_ip(client.host)
    return address is not None and any(address in network for network in networks)
