"""Sessions for servers that people wrote themselves, on ``asyncio`` or ``socketserver``.

`stream_session` decorates the callback of ``asyncio.start_server``, `handler_session` a class of request
handlers. Both open a session for each connection, listen in to its bytes with the observer of the protocol,
if there is one, and end it with the connection; what the server returns or raises goes through unchanged.

``connection.py`` is what all kinds of connections share; ``streams.py`` and ``handlers.py`` are the kinds.
"""

from sessionspan.servers.handlers import handler_session
from sessionspan.servers.streams import stream_session

__all__ = ["handler_session", "stream_session"]
