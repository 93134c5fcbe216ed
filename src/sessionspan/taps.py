"""Ways to listen in to a connection: the bytes go to an observer, and what it says to the session.

A tap sits where the library takes bytes and hands out bytes, so it sees plaintext, after TLS and in the
library's own order. It calls the library first and looks afterwards.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from sessionspan.events import Event
from sessionspan.guard import guard
from sessionspan.interactions import observed
from sessionspan.protocols import Observer
from sessionspan.session import Session


class Wire:
    """The bytes of one session, on their way from the library to the observer and on to the gate."""

    __slots__ = ("_from_client", "_from_server", "_observer", "_session")

    def __init__(self, session: Session, observer: Observer) -> None:
        self._session = session
        self._observer = observed(session, observer)
        self._from_client = self._from_server = 0
        session.on_end(self._finish)

    # Heard with every line: so the guard stands here in full, without the call that its decorator is.

    def client(self, data: bytes) -> None:
        """The client sent *data*."""
        try:
            self._from_client += len(data)
            events = self._observer.client_sent(data)
            if events:
                self._tell(events)
        except Exception as error:  # noqa: BLE001 - as in the guard
            guard.failed(error)

    def server(self, data: bytes) -> None:
        """The server sent *data*."""
        try:
            self._from_server += len(data)
            events = self._observer.server_sent(data)
            if events:
                self._tell(events)
        except Exception as error:  # noqa: BLE001 - as in the guard
            guard.failed(error)

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


# `StreamReader.readline` takes its bytes by `readuntil`, so it is heard there; a reader of somebody's own making
# may have it alone.
_READS: Final = ("readuntil", "readexactly", "read")
_OTHER_READS: Final = ("readline", "readexactly", "read")
_WRITES: Final = ("write", "writelines")


@guard
def tap_streams(reader: Any, writer: Any, wire: Wire) -> None:
    """Listen in to an asyncio stream pair of a server.

    The methods are replaced on these two objects only, so nothing is wrapped: what the library compares or
    asks for its type is still its own. `untap_streams` puts them back.
    """
    tap = _StreamTap(reader, writer, wire)
    for name in _READS if hasattr(reader, "readuntil") else _OTHER_READS:
        if hasattr(reader, name):
            setattr(reader, name, getattr(tap, name))
    for name in _WRITES:
        if hasattr(writer, name):
            setattr(writer, name, getattr(tap, name))


@guard
def untap_streams(reader: Any, writer: Any) -> None:
    """Stop listening to a pair that `tap_streams` tapped."""
    for name in {*_READS, *_OTHER_READS}:
        vars(reader).pop(name, None)
    for name in _WRITES:
        vars(writer).pop(name, None)


class _StreamTap:
    """Stands before the methods of one stream pair."""

    # One object with slots and its bound methods, not closures: a server keeps them for each idle connection.
    __slots__ = ("_read", "_readexactly", "_readline", "_readuntil", "_wire", "_write", "_writelines")

    def __init__(self, reader: Any, writer: Any, wire: Wire) -> None:
        self._readuntil: Any = getattr(reader, "readuntil", None)
        self._readline: Any = getattr(reader, "readline", None)
        self._readexactly: Any = getattr(reader, "readexactly", None)
        self._read: Any = getattr(reader, "read", None)
        self._write = writer.write
        self._writelines: Any = getattr(writer, "writelines", None)
        self._wire = wire

    async def readuntil(self, separator: Any = b"\n") -> bytes:
        data: bytes = await self._readuntil(separator)
        self._wire.client(data)
        return data

    async def readline(self) -> bytes:
        data: bytes = await self._readline()
        self._wire.client(data)
        return data

    async def readexactly(self, n: int) -> bytes:
        data: bytes = await self._readexactly(n)
        self._wire.client(data)
        return data

    async def read(self, n: int = -1) -> bytes:
        data: bytes = await self._read(n)
        if n >= 0:  # else it is a loop over `read(limit)`, which has been heard piece by piece
            self._wire.client(data)
        return data

    def write(self, data: Any) -> None:
        self._write(data)
        self._wire.server(bytes(data))  # of bytes no copy; a bytearray may be used again

    def writelines(self, data: Any) -> None:
        lines = list(data)  # may be an iterator
        self._writelines(lines)
        for line in lines:
            self._wire.server(bytes(line))
