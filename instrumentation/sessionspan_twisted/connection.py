"""One connection of a server protocol of twisted.mail: what it takes and says, and how it ends.

It listens to the protocol object and its transport, not to their classes: servers that people write override
``connectionMade``, ``lineReceived`` and ``connectionLost`` without ``super()``.

What the client sends is heard line by line, as the library takes it: only Twisted knows what it takes for a line
or a literal. Twisted does not wait for a Deferred before it takes the next line, so replies come in any order;
`Connection.which` tells the observer which command is being answered.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Final
from weakref import WeakValueDictionary

from sessionspan.addresses import Address, address_of, transport_of
from sessionspan.ending import type_name
from sessionspan.events import Event, TLSFailure
from sessionspan.guard import guard
from sessionspan.object_taps import Tap, TapBefore, TapDuring, TapInSession, TapWrites, TapWritesMany
from sessionspan.opening import is_ignored, open_session
from sessionspan.protocols.lines import LINE_LIMIT
from sessionspan.scope import Scope
from sessionspan.session import Session
from sessionspan.taps import Wire
from sessionspan.tls import established

_NOTHING: Final = -1  # what is sent now answers no command

# What twisted.internet.error says of an end that the server did not bring about.
_LOSSES: Final = {"ConnectionDone": "peer_eof", "ConnectionLost": "peer_reset", "ConnectionAborted": "local_close"}
_ESTABLISHED: Final = b"SSL negotiation finished successfully"  # OpenSSL's SSL_state_string_long
_PROXY_V2: Final = b"\r\n\r\n\0\r\nQUIT\n"

_open: Final[WeakValueDictionary[str, Connection]] = WeakValueDictionary()  # by the session's id


class Connection(Wire):
    """The wire of one connection; subclasses know the protocol."""

    __slots__ = (
        "__weakref__",
        "_closed_here",
        "_decided",
        "_implicit",
        "_in_sequence",
        "_line",
        "_lines",
        "_observes",
        "_proxy",
        "_taps",
        "_verbs",
        "_who",
        "protocol",
        "session",
        "transport",
    )

    scope: ClassVar[Scope]
    name: ClassVar[str]  # of the protocol

    def __init__(self, session: Session, protocol: Any, transport: Any) -> None:
        self._observes = self.observer()
        super().__init__(session, self._observes)
        self.session = session
        self.protocol = protocol
        self.transport = transport
        self._taps: tuple[Tap, ...] = ()
        self._proxy = _proxy_of(transport)  # until its header has come
        self._implicit = _handle_of(transport) is not None
        self._closed_here = False
        self._in_sequence = False
        # Which command is answered by what is sent now: that of the line being taken, that of a login which the
        # portal has decided, or one of these verbs.
        self._line: int | None = None
        self._lines: list[int | None] = []
        self._decided: int | None = None
        self._verbs: Sequence[str] = ()
        self._who: str | None = None  # whom the portal has accepted, until that is told to the client

    # What protocols differ in.

    def observer(self) -> Any:
        """The observer of the protocol."""
        raise NotImplementedError

    @property
    def expects_command(self) -> bool:
        """Whether the library takes the next line for a command, not for content or a response."""
        raise NotImplementedError

    def as_taken(self, line: bytes) -> bytes:
        """*line*, a command, split into words as the library does."""
        return line

    # Its life.

    def listens(self) -> None:
        """Listen in."""
        protocol, transport = self.protocol, self.transport
        taps: list[Tap] = [
            TapInSession(protocol, "dataReceived", self._receives),
            TapInSession(protocol, "connectionLost", self._is_lost, self._was_lost),
            TapInSession(protocol, "timeoutConnection", self._times_out),
            *(TapBefore(transport, name, self._closes) for name in _CLOSINGS if hasattr(transport, name)),
        ]
        if self.session.listened_to:
            taps += self.listens_to_lines()
            taps.append(TapWrites(transport, "write", self._writes))
            taps.append(TapWritesMany(transport, "writeSequence", self._writes_many, self._wrote_many))
        self._taps = tuple(taps)

    def listens_to_lines(self) -> list[Tap]:
        """Listen to what is taken."""
        return [
            TapDuring(self.protocol, "lineReceived", self.takes_line, self._took_line),
            TapDuring(self.protocol, "lineLengthExceeded", self._takes_too_much, self._took_too_much),
        ]

    def leaves(self) -> None:
        """Listen no longer."""
        for tap in reversed(self._taps):
            tap.take_back()
        self._taps = ()

    # What the client sends.

    def _receives(self, data: bytes = b"") -> Session | None:
        if self._proxy is not None:
            self._tell_proxy()
        if self.session.tls_mode == "none":
            self._tell_tls()
        return self.session

    def takes_line(self, line: bytes) -> None:
        """The library takes *line*."""
        self._hear(self.as_taken(line) if self.expects_command else line)
        self._lines.append(self._line)
        self._line = self._observes.taken

    def keeps_line(self) -> None:
        """The library keeps a line for later."""
        self._lines.append(self._line)

    def _hear(self, line: bytes) -> None:
        if b"\n" in line:  # a lone LF is part of the line here, but not for our reader of lines
            line = line.replace(b"\n", b"\r")
        self.client(line + b"\r\n")

    def _took_line(self) -> None:
        self._line = self._lines.pop() if self._lines else None

    def _takes_too_much(self, line: bytes) -> None:
        command = self.expects_command
        if command:
            self._hear(b"" if len(line) > LINE_LIMIT else line)
        self._lines.append(self._line)
        # In an exchange it is refused, and the exchange goes on; a message is over.
        self._line = self._observes.taken if command or self.in_content else _NOTHING

    def _took_too_much(self) -> None:
        self._took_line()
        if self._closed_here:
            self.session.cause("limit")

    @property
    def in_content(self) -> bool:
        """Whether the library takes the next line for content."""
        return False

    # What the server sends.

    @guard
    def _writes(self, data: bytes) -> None:
        if not self._in_sequence:  # TLS transports send a sequence by `write`
            self._says(data)

    @guard
    def _writes_many(self, data: bytes | None) -> None:
        if data is None:
            self._in_sequence = True
        else:
            self._says(data)

    def _wrote_many(self) -> None:
        self._in_sequence = False

    def _says(self, data: bytes) -> None:
        self.server(data)
        self._decided = self._who = None

    def _tell(self, events: Sequence[Event]) -> None:
        self.session.start()  # and no more: who calls us serves other connections, too
        super()._tell(events)

    def which(self, pending: Sequence[Any]) -> int:
        """Which of the *pending* commands is being answered."""
        if self._line == _NOTHING:
            return _NOTHING
        for sequence in (self._decided, self._line):
            for index, command in enumerate(pending):
                if command.sequence == sequence:
                    return index
        return next((index for index, command in enumerate(pending) if command.verb in self._verbs), 0)

    def answers(self, *verbs: str) -> None:
        """What is sent from here on answers a command that is one of *verbs*."""
        self._verbs = verbs

    # Logins.

    @property
    def command(self) -> int | None:
        """The number of the command whose line is being taken."""
        return self._line

    def decided(self, command: int | None, user: str | None) -> None:
        """The portal has accepted *user*, who logs in by *command*; or has refused to (None)."""
        self._decided, self._who = command, user

    def who(self) -> str | None:
        """Whom the portal has accepted."""
        return self._who

    # PROXY protocol and TLS.

    def _tell_proxy(self) -> None:
        """The first bytes behind the PROXY header have come."""
        proxy, self._proxy = self._proxy, None
        header = getattr(proxy._proxyInfo, "header", b"")
        client = _address(self.transport.getPeer()) if proxy._proxyInfo.source else Address()
        second = header.startswith(_PROXY_V2)
        # PROXY protocol version 2, section 2.2: command 0 is LOCAL, the proxy's own health check.
        if (second and header[12] & 15 == 0) or is_ignored(client):
            self.leaves()
            self.session.discard()
            return
        self.session.set_proxy("proxy_v2" if second else "proxy_v1", client)
        self.session.start()

    @property
    def _tls_mode(self) -> str:
        return "implicit" if self._implicit else "starttls"

    def _tell_tls(self) -> bool:
        """Tell of a handshake that is done; it is seen at the first bytes behind it."""
        handle = _handle_of(self.transport)
        if handle is None or handle.get_state_string() != _ESTABLISHED:
            return False
        protocol, cipher = handle.get_protocol_version_name(), handle.get_cipher_name()
        self.session.record(established(self._tls_mode, protocol, cipher or ""))
        return True

    # Its end.

    def _closes(self, *args: Any) -> None:
        self._closed_here = True

    def _times_out(self) -> Session:
        self.session.cause("timeout")
        return self.session

    def stops(self) -> None:
        """The reactor stops, and disconnects everybody."""
        if self.session.end_reason is None:
            self.session.cause("shutdown")

    def _is_lost(self, reason: Any = None) -> Session:
        error = getattr(reason, "value", None)
        if self._proxy is not None:
            self._is_lost_before_header()
        elif self.session.tls_mode == "none" and self._is_encrypted():
            self._is_lost_in_handshake(error)
        self._look_at(error)
        return self.session

    def _is_lost_before_header(self) -> None:
        if self._proxy._proxyInfo is not None:
            self._tell_proxy()
        elif is_ignored(self.session.peer):
            self.session.discard()
        elif self._proxy.disconnecting and self.session.end_reason is None:
            self.session.cause("proxy_invalid")

    def _is_encrypted(self) -> bool:
        # A lost connection without TLS has no handle any more, and cannot be asked for it.
        return self._implicit or bool(getattr(self.transport, "TLS", False))

    def _is_lost_in_handshake(self, error: Any) -> None:
        if self._tell_tls():
            return
        failed = isinstance(error, Exception) and not _is_of_network(error)
        if failed or not self._implicit:  # else a port that was looked at and left
            name = type_name(error) if failed else "_OTHER"
            self.session.record(TLSFailure(mode=self._tls_mode, error_type=name))

    def _look_at(self, error: Any) -> None:
        """Why the connection was lost, by the *error* that Twisted gives."""
        session = self.session
        if not isinstance(error, BaseException):
            session.cause("local_close")
        elif _is_of_tls(error):
            session.cause("protocol_error")
        elif not _is_of_network(error):  # raised where bytes were received
            session.failed(error)
            session.cause("handler_error")
        elif session.end_reason is None:
            loss = _LOSSES.get(type(error).__name__, "_OTHER")
            if self._is_encrypted() and loss == "peer_reset":
                loss = "peer_eof"  # Twisted says the same of an end without TLS's own goodbye
            session.cause("local_close" if self._closed_here else loss)

    def _was_lost(self) -> None:
        self.leaves()
        _open.pop(self.session.id, None)
        self.session.end(self.session.end_reason or "local_close")


_CLOSINGS: Final = ("loseConnection", "abortConnection")


def connect(kind: type[Connection], protocol: Any, transport: Any) -> Session | None:
    """*protocol* gets its connection, over *transport*: open the session of it."""
    former = connection_of(protocol)
    if former is not None:  # a protocol object that is used again
        former._was_lost()
    peer, local = (_address(getattr(transport, end)()) for end in ("getPeer", "getHost"))
    session = open_session(
        kind.scope,
        kind.name,
        transport=transport_of(peer, local),
        peer=peer,
        local=local,
        behind_proxy=_proxy_of(transport) is not None,
    )
    if session is None:
        return None
    connection = kind(session, protocol, transport)
    protocol._sessionspan = connection
    _open[session.id] = connection
    if connection._proxy is None:  # else its header says who the client is
        session.start()
    connection.listens()
    return session


def connection_of(protocol: Any) -> Connection | None:
    """The connection of *protocol* while it is open."""
    connection = vars(protocol).get("_sessionspan")
    return connection if isinstance(connection, Connection) and not connection.session.ended else None


def connection_in(session: Session) -> Connection | None:
    """The connection of *session*, if it is one of Twisted's."""
    return _open.get(session.id)


def open_connections() -> list[Connection]:
    """All that are open."""
    return list(_open.values())


def _address(end: Any) -> Address:
    """An end as Twisted has it: IPv4Address and IPv6Address, UNIXAddress; of others nothing is known."""
    name = getattr(end, "name", None)
    return address_of(name if name else (getattr(end, "host", None), getattr(end, "port", None)))


def _proxy_of(transport: Any) -> Any:
    """The wrapper that reads a PROXY header, if *transport* is behind one."""
    while transport is not None:
        if any(kind.__name__ == "HAProxyProtocolWrapper" for kind in type(transport).__mro__):
            return transport
        transport = getattr(transport, "__dict__", {}).get("transport")
    return None


def _handle_of(transport: Any) -> Any:
    """pyOpenSSL's connection that encrypts *transport*, if any does."""
    get = getattr(transport, "getHandle", None)
    handle = get() if get is not None else None
    return handle if hasattr(handle, "get_cipher_name") else None


def _is_of_network(error: BaseException) -> bool:
    return type(error).__module__ == "twisted.internet.error"


def _is_of_tls(error: BaseException) -> bool:
    return type(error).__module__.partition(".")[0] == "OpenSSL"
