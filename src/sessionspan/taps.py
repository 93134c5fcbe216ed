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

# Content that comes line by line is told some lines at a time: that is a third of the cost.
_DOT: Final = b".\r\n"
_HELD: Final = 16  # lines
_SHORT: Final = 1024  # bytes of one; RFC 5321 4.5.3.1.6 allows 1000


class Wire:
    """The bytes of one session, on their way from the library to the observer and on to the gate."""

    __slots__ = ("_from_client", "_from_server", "_held", "_observer", "_session")

    def __init__(self, session: Session, observer: Observer) -> None:
        self._session = session
        self._observer = observed(session, observer)
        self._from_client = self._from_server = 0
        self._held: list[bytes] | None = None  # lines of content, while the client sends such
        session.on_end(self)

    # Heard with every line: so the guard stands here in full, without the call that its decorator is.

    def client(self, data: bytes) -> None:
        """The client sent *data*."""
        try:
            held = self._held
            if held is not None:
                if data != _DOT and len(data) <= _SHORT and len(held) < _HELD:
                    held.append(data)
                    return
                data = self._release(data)
            self._from_client += len(data)
            events = self._observer.client_sent(data)
            if events:
                self._tell(events)
            if held is not None and self._observer.in_content:
                self._held = []
        except Exception as error:  # noqa: BLE001 - as in the guard
            guard.failed(error)

    def server(self, data: bytes) -> None:
        """The server sent *data*."""
        try:
            if self._held:
                self._hear_held()
            self._from_server += len(data)
            events = self._observer.server_sent(data)
            if events:
                self._tell(events)
            self._held = [] if self._observer.in_content else None
        except Exception as error:  # noqa: BLE001 - as in the guard
            guard.failed(error)

    def _release(self, data: bytes) -> bytes:
        """The lines that were held, and *data* behind them; nothing is held any more."""
        held, self._held = self._held, None
        return b"".join((*(held or ()), data))

    def _hear_held(self) -> None:
        data = self._release(b"")
        self._from_client += len(data)
        self._tell(self._observer.client_sent(data))

    def _tell(self, events: Sequence[Event]) -> None:
        if not self._session.started:
            self._session.start_here()  # it waited for this, in the task that serves the connection
        for event in events:
            self._session.record(event)
        if self._observer.end_reason is not None:
            self._session.cause(self._observer.end_reason)

    def say_last_words(self) -> None:
        """The session ends: what the connection leaves open is told."""
        if self._held:
            self._hear_held()
        self._session.unfinished = self._observer.unfinished
        self._tell(self._observer.finish())
        self._session.count_bytes(from_client=self._from_client, from_server=self._from_server)


@guard
def tap_streams(reader: Any, writer: Any, wire: Wire) -> None:
    """Listen in to an asyncio stream pair of a server.

    The methods are replaced on these two objects only, so nothing is wrapped: what the library compares or
    asks for its type is still its own. `untap_streams` puts them back.
    """
    tap = _StreamTap(reader, writer, wire)
    # `StreamReader.readline` takes its bytes by `readuntil`, so it is heard there; a reader of somebody's own
    # making may have it alone.
    if tap._readuntil is not None:
        reader.readuntil = tap.readuntil
    elif tap._readline is not None:
        reader.readline = tap.readline
    if tap._readexactly is not None:
        reader.readexactly = tap.readexactly
    if tap._read is not None:
        reader.read = tap.read
    writer.write = tap.write
    if tap._writelines is not None:
        writer.writelines = tap.writelines


@guard
def untap_streams(reader: Any, writer: Any) -> None:
    """Stop listening to a pair that `tap_streams` tapped."""
    if not _taken_off(reader, "readuntil"):
        _taken_off(reader, "readline")
    _taken_off(reader, "readexactly")
    _taken_off(reader, "read")
    _taken_off(writer, "write")
    _taken_off(writer, "writelines")


def _taken_off(stream: Any, name: str) -> bool:
    """Take off *stream* what stands before its method *name*; return whether there was something."""
    try:  # not by `vars`, which gives each stream a dictionary
        delattr(stream, name)
    except AttributeError:
        return False
    return True


class _StreamTap:
    """Stands before the methods of one stream pair."""

    # One object with slots and its bound methods, not closures: a server keeps them for each idle connection. The
    # methods that they stand before are kept as functions, for a bound method is an object of its own.
    __slots__ = (
        "_read",
        "_reader",
        "_readexactly",
        "_readline",
        "_readuntil",
        "_wire",
        "_write",
        "_writelines",
        "_writer",
    )

    def __init__(self, reader: Any, writer: Any, wire: Wire) -> None:
        self._reader, self._writer = reader, writer
        self._readuntil = _function_of(reader, "readuntil")
        self._readline = _function_of(reader, "readline")
        self._readexactly = _function_of(reader, "readexactly")
        self._read = _function_of(reader, "read")
        self._write = _function_of(writer, "write")
        self._writelines = _function_of(writer, "writelines")
        self._wire = wire

    async def readuntil(self, separator: Any = b"\n") -> bytes:
        data: bytes = await self._readuntil(self._reader, separator)
        self._wire.client(data)
        return data

    async def readline(self) -> bytes:
        data: bytes = await self._readline(self._reader)
        self._wire.client(data)
        return data

    async def readexactly(self, n: int) -> bytes:
        data: bytes = await self._readexactly(self._reader, n)
        self._wire.client(data)
        return data

    async def read(self, n: int = -1) -> bytes:
        data: bytes = await self._read(self._reader, n)
        if n >= 0:  # else it is a loop over `read(limit)`, which has been heard piece by piece
            self._wire.client(data)
        return data

    def write(self, data: Any) -> None:
        self._write(self._writer, data)
        self._wire.server(bytes(data))  # of bytes no copy; a bytearray may be used again

    def writelines(self, data: Any) -> None:
        lines = list(data)  # may be an iterator
        self._writelines(self._writer, lines)
        for line in lines:
            self._wire.server(bytes(line))


def _function_of(stream: Any, name: str) -> Any:
    """The method *name* of *stream*, to be called with the stream as its first argument; None when it has none."""
    method: Any = getattr(stream, name, None)
    if getattr(method, "__self__", None) is stream and hasattr(method, "__func__"):
        return method.__func__
    # Somebody has put a function of his own on this stream alone.
    return method if method is None else lambda _, *args: method(*args)
