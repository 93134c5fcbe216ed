"""Ways to listen in to a connection: the bytes go to an observer, and what it says to the session.

A tap sits where the library takes bytes and hands out bytes, so it sees plaintext, after TLS and in the
library's own order. It calls the library first and looks afterwards.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from sessionspan.events import Event
from sessionspan.guard import guard
from sessionspan.protocols import Observer
from sessionspan.session import Session


class Wire:
    """The bytes of one session, on their way from the library to the observer and on to the gate."""

    __slots__ = ("_from_client", "_from_server", "_observer", "_session")

    def __init__(self, session: Session, observer: Observer) -> None:
        self._session = session
        self._observer = observer
        self._from_client = self._from_server = 0
        session.on_end(self._finish)

    @guard
    def client(self, data: bytes) -> None:
        """The client sent *data*."""
        self._from_client += len(data)
        events = self._observer.client_sent(data)
        if events:
            self._tell(events)

    @guard
    def server(self, data: bytes) -> None:
        """The server sent *data*."""
        self._from_server += len(data)
        events = self._observer.server_sent(data)
        if events:
            self._tell(events)

    def _tell(self, events: Sequence[Event]) -> None:
        if not self._session.started:
            self._session.start_here()  # it waited for this, in the task that serves the connection
        for event in events:
            self._session.record(event)
        if self._observer.end_reason is not None:
            self._session.cause(self._observer.end_reason)

    def _finish(self) -> None:
        self._session.unfinished = self._observer.unfinished
        self._tell(self._observer.finish())
        self._session.count_bytes(from_client=self._from_client, from_server=self._from_server)


# `StreamReader.readline` takes its bytes by `readuntil`, so it is heard there.
_READS: Final = ("readuntil", "readexactly")


@guard
def tap_streams(reader: Any, writer: Any, wire: Wire) -> None:
    """Listen in to an asyncio stream pair of a server.

    The methods are replaced on these two objects only, so nothing is wrapped: what the library compares or
    asks for its type is still its own. `untap_streams` puts them back.
    """
    for name in _READS:
        setattr(reader, name, _Read(getattr(reader, name), wire))
    reader.read = _ReadSome(reader.read, wire)
    writer.write = _Write(writer.write, wire)
    writer.writelines = _WriteLines(writer.writelines, wire)


@guard
def untap_streams(reader: Any, writer: Any) -> None:
    """Stop listening to a pair that `tap_streams` tapped."""
    for name in (*_READS, "read"):
        vars(reader).pop(name, None)
    for name in ("write", "writelines"):
        vars(writer).pop(name, None)


# Objects with slots, not closures: an idle connection keeps five of them, and they are a third as large.


class _Read:
    __slots__ = ("_read", "_wire")

    def __init__(self, read: Any, wire: Wire) -> None:
        self._read = read
        self._wire = wire

    async def __call__(self, *args: Any, **kwargs: Any) -> bytes:
        data: bytes = await self._read(*args, **kwargs)
        self._wire.client(data)
        return data


class _ReadSome(_Read):
    __slots__ = ()

    async def __call__(self, n: int = -1) -> bytes:
        data: bytes = await self._read(n)
        if n >= 0:  # else it is a loop over `read(limit)`, which has been heard piece by piece
            self._wire.client(data)
        return data


class _Write:
    __slots__ = ("_wire", "_write")

    def __init__(self, write: Any, wire: Wire) -> None:
        self._write = write
        self._wire = wire

    def __call__(self, data: Any) -> None:
        self._write(data)
        self._wire.server(bytes(data))  # of bytes no copy; a bytearray may be used again


class _WriteLines(_Write):
    __slots__ = ()

    def __call__(self, data: Any) -> None:
        lines = list(data)  # may be an iterator
        self._write(lines)
        for line in lines:
            self._wire.server(bytes(line))
