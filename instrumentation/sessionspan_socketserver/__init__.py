"""One span per connection of a server of your own on socketserver, at the ports that ``SESSIONSPAN_PORTS`` lists.

``BaseRequestHandler.__init__``   serves a connection, from its ``setup`` to its ``finish``.
``SSLContext.wrap_socket``        encrypts one that is being served.
"""

from __future__ import annotations

import functools
from typing import Final

from sessionspan.instrumentor import Patch
from sessionspan.scope import Scope
from sessionspan.servers.handlers import in_sessions
from sessionspan.servers.ports import AtPorts, PortsInstrumentor
from sessionspan.servers.sockets import during_handshake

_scope: Final = Scope("sessionspan_socketserver")


class SocketserverInstrumentor(PortsInstrumentor):
    """Instruments socketserver: servers at the listed ports."""

    scope = _scope
    patches = (
        Patch("socketserver", "BaseRequestHandler.__init__", functools.partial(in_sessions, AtPorts(_scope))),
        Patch("ssl", "SSLContext.wrap_socket", during_handshake),
    )
