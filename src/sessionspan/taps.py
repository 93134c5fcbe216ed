"""Ways to listen in to a connection: the bytes go to an observer, and what it says to the session.

A tap sits where the library takes bytes and hands out bytes, so it sees plaintext, after TLS and in the
library's own order. It calls the library first and looks afterwards.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
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
    _StreamTap(reader, writer, wire).stand_before()


@guard
def untap_streams(reader: Any, writer: Any) -> None:
    """Stop listening to a pair that `tap_streams` tapped."""
    if not _put_back(reader, "readuntil"):
        _put_back(reader, "readline")
    _put_back(reader, "readexactly")
    _put_back(reader, "read")
    _put_back(writer, "write")
    _put_back(writer, "writelines")


def _put_back(stream: Any, name: str) -> bool:
    """Take off *stream* what stands before its method *name*; return whether there was something."""
    tap = getattr(getattr(stream, name, None), "__self__", None)
    try:  # not by `vars`, which gives each stream a dictionary
        delattr(stream, name)
    except AttributeError:
        return False
    method = getattr(tap._methods, name) if isinstance(tap, _StreamTap) else None
    if isinstance(method, _Own) and getattr(stream, name, None) != method.function:
        setattr(stream, name, method.function)
    return True


@dataclass(frozen=True, slots=True, eq=False)
class _Methods:
    """The methods of a stream pair that a tap stands before, each to be called with its stream; None: no such."""

    readuntil: Any
    readline: Any
    readexactly: Any
    read: Any
    write: Any
    writelines: Any


def _methods_of(reader: Any, writer: Any) -> _Methods:
    functions = [_function_of(reader, name) for name in ("readuntil", "readline", "readexactly", "read")]
    functions += [_function_of(writer, name) for name in ("write", "writelines")]
    return _Methods(*functions) if any(isinstance(one, _Own) for one in functions) else _shared(*functions)


@functools.lru_cache(maxsize=16)
def _shared(*functions: Any) -> _Methods:
    """Streams of the same classes have the same *functions*: they are kept once."""
    return _Methods(*functions)


class _Own:
    """A function that somebody has put on one stream alone."""

    __slots__ = ("function",)

    def __init__(self, function: Any) -> None:
        self.function = function

    def __call__(self, stream: Any, *args: Any) -> Any:
        return self.function(*args)


def _function_of(stream: Any, name: str) -> Any:
    """The method *name* of *stream*, to be called with the stream as its first argument; None when it has none."""
    method: Any = getattr(stream, name, None)
    function = getattr(method, "__func__", None)
    if function is not None and function is getattr(type(stream), name, None):
        return function  # a bound method would be an object of its own
    return method if method is None else _Own(method)


class _StreamTap:
    """Stands before the methods of one stream pair."""

    # One object with slots and its bound methods, not closures: a server keeps them for each idle connection.
    __slots__ = ("_methods", "_reader", "_wire", "_writer")

    def __init__(self, reader: Any, writer: Any, wire: Wire) -> None:
        self._reader, self._writer = reader, writer
        self._methods = _methods_of(reader, writer)
        self._wire = wire

    def stand_before(self) -> None:
        """Take the place of the methods, on these two objects only."""
        reader, writer, methods = self._reader, self._writer, self._methods
        # `StreamReader.readline` takes its bytes by `readuntil`, so it is heard there; a reader of somebody's own
        # making may have it alone.
        if methods.readuntil is not None:
            reader.readuntil = self.readuntil
        elif methods.readline is not None:
            reader.readline = self.readline
        if methods.readexactly is not None:
            reader.readexactly = self.readexactly
        if methods.read is not None:
            reader.read = self.read
        writer.write = self.write
        if methods.writelines is not None:
            writer.writelines = self.writelines

    async def readuntil(self, separator: Any = b"\n") -> bytes:
        data: bytes = await self._methods.readuntil(self._reader, separator)
        self._wire.client(data)
        return data

    async def readline(self) -> bytes:
        data: bytes = await self._methods.readline(self._reader)
        self._wire.client(data)
        return data

    async def readexactly(self, n: int) -> bytes:
        data: bytes = await self._methods.readexactly(self._reader, n)
        self._wire.client(data)
        return data

    async def read(self, n: int = -1) -> bytes:
        data: bytes = await self._methods.read(self._reader, n)
        if n >= 0:  # else it is a loop over `read(limit)`, which has been heard piece by piece
            self._wire.client(data)
        return data

    def write(self, data: Any) -> None:
        self._methods.write(self._writer, data)
        self._wire.server(bytes(data))  # of bytes no copy; a bytearray may be used again

    def writelines(self, data: Any) -> None:
        lines = list(data)  # may be an iterator
        self._methods.writelines(self._writer, lines)
        for line in lines:
            self._wire.server(bytes(line))
