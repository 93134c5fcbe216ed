"""One span per connection of a server of your own on asyncio, at the ports that ``SESSIONSPAN_PORTS`` lists.

``BaseEventLoop.create_server``   is given what makes the protocol of a connection; ``asyncio.start_server`` ends
                                  up there, too.
``BaseEventLoop.start_tls``       encrypts a connection.
``uvloop.Loop.create_server``     the same of uvloop, where it is used.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from sessionspan.instrumentor import Patch
from sessionspan.scope import Scope
from sessionspan.servers.ports import AtPorts, PortsInstrumentor, is_listed
from sessionspan.servers.transports import during_handshake, heard_factory
from sessionspan.wrappers import giving

_scope: Final = Scope("sessionspan_asyncio")
_service: Final = AtPorts(_scope)


def _listens(
    loop: Any,
    protocol_factory: Callable[[], Any],
    host: Any = None,
    port: Any = None,
    *,
    sock: Any = None,
    **options: Any,
) -> Callable[[], Any] | None:
    return heard_factory(_service, protocol_factory) if is_listed(port, sock) else None


_FACTORY: Final = giving("protocol_factory", 1, _listens)


class AsyncioInstrumentor(PortsInstrumentor):
    """Instruments asyncio: servers at the listed ports."""

    scope = _scope
    patches = (
        Patch("asyncio.base_events", "BaseEventLoop.create_server", _FACTORY),
        Patch("asyncio.base_events", "BaseEventLoop.start_tls", during_handshake),
        Patch("uvloop", "Loop.create_server", _FACTORY),
    )
