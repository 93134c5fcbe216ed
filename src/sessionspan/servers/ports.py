"""Servers that people wrote themselves, by their ports: what ``SESSIONSPAN_PORTS`` asks for."""

from __future__ import annotations

import functools
import socket
from collections.abc import Mapping
from typing import Any

from sessionspan import owners
from sessionspan.addresses import Address
from sessionspan.guard import guard
from sessionspan.instrumentor import SessionInstrumentor
from sessionspan.observers import maker_of
from sessionspan.scope import Scope
from sessionspan.servers.connection import Service
from sessionspan.servers.streams import makes_sessions
from sessionspan.settings import ListedPort, settings


class PortsInstrumentor(SessionInstrumentor):
    """An instrumentation of the standard library: it does nothing while no port is listed."""

    instruments = ""

    def wanted(self) -> bool:
        """Whether ``SESSIONSPAN_PORTS`` lists a port."""
        return bool(settings().ports)

    def _instrument(self, **kwargs: Any) -> None:
        _import_observers()
        super()._instrument(**kwargs)


@guard
def _import_observers() -> None:
    """Now, and not while a client waits, or in every fork."""
    for listed in settings().ports:
        maker_of(listed.protocol)


class AtPorts(Service):
    """The service of the instrumentation *scope*: sessions at the listed ports, of their protocols."""

    __slots__ = ()

    def __init__(self, scope: Scope) -> None:
        super().__init__(lambda: scope, protocol_at)

    def is_anothers(self, served: Any) -> bool:
        """Whether an instrumentation of a library listens to *served*, or it makes sessions itself."""
        return owners.serves(served, besides=self.scope().name) or makes_sessions(served)


def protocol_at(local: Address) -> str | None:
    """The protocol, in capitals, that is spoken at the *local* end of a connection; None when it is not listed."""
    listed = _table(settings().ports)
    return listed.get((local.host, local.port)) or listed.get((None, local.port))


def is_listed(port: Any, listener: Any) -> bool:
    """Whether a server on *port*, or on the socket *listener*, may serve a listed port."""
    if isinstance(listener, socket.socket):
        name = listener.getsockname()
        port = name[1] if isinstance(name, tuple) else None
    return any(str(listed.port) == str(port) for listed in settings().ports)


@functools.lru_cache(maxsize=8)
def _table(ports: tuple[ListedPort, ...]) -> Mapping[tuple[str | None, int | None], str]:
    return {(listed.address, listed.port): listed.protocol for listed in ports}
