"""Session: one connection, one span.

`Session.record` is the one gate through which all telemetry of a session passes: quota, redaction,
identity, the log record, the copy on the span. Instrumentations open sessions and say what they saw;
people use the same object through `sessionspan.session` and `sessionspan.current_session`.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import threading
import time
from collections.abc import Callable, Iterator
from enum import Enum
from typing import TYPE_CHECKING, Any, Final, Protocol

from opentelemetry import context as otel_context
from opentelemetry.context import Context, attach, detach, get_current, get_value, set_value
from opentelemetry.trace import SpanKind, StatusCode, set_span_in_context

from sessionspan import live, names, span_writer
from sessionspan.addresses import UNKNOWN, Address
from sessionspan.ending import more_specific, outcome, type_name
from sessionspan.events import (
    AuthEnd,
    AuthSuccess,
    Command,
    Event,
    SessionEnd,
    SessionEstablished,
    SessionException,
    SessionHeartbeat,
    SessionStart,
    TLSEstablished,
    TLSFailure,
    Value,
)
from sessionspan.facts import Facts, operation_in_context
from sessionspan.gate import Gate
from sessionspan.guard import guard
from sessionspan.ids import new_uuid
from sessionspan.levels import Subject, level_in_context
from sessionspan.people import ForPeople
from sessionspan.protocol_names import named_after
from sessionspan.scope import Scope
from sessionspan.settings import settings

if TYPE_CHECKING:
    from opentelemetry.trace import Span


_KEY: Final = otel_context.create_key("sessionspan-session")
# Fixed text: an exception's own may hold what the peer sent.
_RAISED: Final = "the application raised inside the session"
_CLIENT_FAILURES: Final = {
    "auth_failed": "the login failed",
    "connect_failed": "the connection failed",
    "peer_eof": "the connection was lost",
    "peer_reset": "the connection was lost",
}
_NO_ENDS: Final = (UNKNOWN, UNKNOWN)
_NOTHING_ELSE: Final = Context()
_changing = threading.Lock()  # held for the change of a stage only


def _renew_lock() -> None:
    """This process is a fork, and the lock may be held by a thread that is not here."""
    global _changing
    _changing = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_lock)


class Side(Enum):
    """Which side of the connection this process is."""

    SERVER = "server"
    CLIENT = "client"


# CPython 3.11 calls a function for each member of an Enum that is asked for.
_SERVER: Final = Side.SERVER

# The stages of a session's life, in their order.
_NEW: Final = "new"  # not on the wire yet: it is not yet known who the client is, or whether it is one
_OPEN: Final = "open"
_ENDING: Final = "ending"  # saying its last words
_ENDED: Final = "ended"


class LastSpeaker(Protocol):
    """Who listens in to a session, and has something to say at its end."""

    def say_last_words(self) -> None:
        """The session ends, and can still record."""


class Session(ForPeople):
    """One connection, one span; get one from `sessionspan.session` or `current_session`."""

    __slots__ = (
        "__weakref__",
        "_early",
        "_end_reason",
        "_ender",
        "_ends",
        "_error_type",
        "_facts",
        "_failure",
        "_gate",
        "_last",
        "_level",
        "_raised",
        "_scope",
        "_span",
        "_stage",
        "_started_at",
        "_started_clock",
        "context",
        "peer",
        "protocol",
        "side",
        "unfinished",
    )

    def __init__(
        self,
        scope: Scope,
        protocol: str,
        *,
        side: Side = _SERVER,
        transport: str = "tcp",
        peer: Address = UNKNOWN,
        local: Address = UNKNOWN,
        server: Address = UNKNOWN,
        behind_proxy: bool = False,
        device: str | None = None,
    ) -> None:
        self.protocol = protocol
        self.side = side
        self.peer = peer  # the other end of the socket, a proxy maybe
        # Whether the peer has left something half done; observers say so at the end.
        self.unfinished = False
        self._scope = scope
        self._started_at = time.time_ns()
        self._started_clock = time.monotonic()
        self._stage = _NEW
        self._span: Span | None = None
        self._gate: Gate | None = None  # once it has started, and if anybody listens
        self._end_reason: str | None = None
        self._error_type: str | None = None
        self._failure = _RAISED
        self._early: Event | None = None
        self._ender: int | None = None  # the thread that ends it, which alone may still record then
        self._raised = False  # in the command that is under way
        self._last: LastSpeaker | None = None
        self._ends = (local, server)
        # An end of a unix socket is no client address, and the peer is none that a proxy stands for.
        client = peer if side is _SERVER else local
        if transport != "tcp" or behind_proxy:
            client = UNKNOWN
        self._facts = Facts(transport, device, client)
        outside = get_current()
        # None: what the setting says of this session, once it starts.
        self._level = level_in_context() if outside else None
        self.context = Context({**outside, _KEY: self})

    def __repr__(self) -> str:
        return f"<Session {self.id} {self.protocol} {self._stage}>"

    def __del__(self) -> None:
        if getattr(self, "_stage", None) is _OPEN and self._span is not None:
            live.orphan(self)

    # What a session is, for people.

    @property
    def id(self) -> str:
        """The session's UUID (version 4, RFC 9562 5.4)."""
        known = self._facts.values
        if names.SESSION_ID not in known:
            known[names.SESSION_ID] = new_uuid()
        return str(known[names.SESSION_ID])

    @property
    def client_ip(self) -> str | None:
        """The real client's IP address, also behind a proxy; None when unknown."""
        return self._facts.client.host

    @property
    def device(self) -> str | None:
        """The type of the device at the other end, as the library calls it; None when it is none."""
        device = self._facts.values.get(names.DEVICE_TYPE)
        return None if device is None else str(device)

    @property
    def username(self) -> str | None:
        """The user as whom the session acts now; None before a login was accepted."""
        return self._facts.user

    @property
    def network_name(self) -> str | None:
        """The protocol as ``network.protocol.name`` has it; None for one that is not of a network."""
        return named_after(self.protocol).network

    @property
    def capture_level(self) -> str:
        """How much of the dialogue is recorded: off, metadata, commands, content."""
        if self._level is None:
            capture, protocol = settings().capture, named_after(self.protocol).lower
            self._level = capture.by_protocol.get(protocol)
            if self._level is None:
                other = self._facts.client if self.side is _SERVER else self._ends[1]
                self._level = capture.level(Subject(protocol, other.host, self.device))
        return self._level

    @property
    def tls_mode(self) -> str:
        """How the connection is encrypted: none, starttls, implicit."""
        return str(self._facts.values[names.TLS_MODE])

    def plain_names(self) -> dict[str, Value]:
        """The session's plain names as log records of the application are stamped with them."""
        if names.PLAIN_SESSION_ID not in self._facts.values:  # nobody listens, or it has not started
            self._starting_facts()
        return self._facts.plain_names()

    @property
    def ended(self) -> bool:
        """Whether the session is over."""
        return self._stage is _ENDED

    @guard
    def set_username(self, username: str) -> None:
        """Say that the session acts as *username* from here on; earlier events keep what they had."""
        if username != self.username:
            self._end_user()
            self._accept_user(username)

    def over(self, context: Context) -> Context:
        """*context* with this session, and its span, as the current ones; what else is in it stays."""
        own = set_value(_KEY, self, context)
        return own if self._span is None else set_span_in_context(self._span, own)

    @contextlib.contextmanager
    def active(self) -> Iterator[Session]:
        """Make this session, and its span, the current ones for the block."""
        token = attach(self.context)
        try:
            yield self
        finally:
            detach(token)

    # What an instrumentation learns.

    def set_proxy(self, protocol: str, client: Address) -> None:
        """The connection came through a proxy that speaks *protocol* and names *client* as the real one."""
        self._facts.learn({names.PROXY_PROTOCOL: protocol})
        self._facts.learn_peer(names.PROXY_ADDRESS, names.PEER_PORT, self.peer)
        self._facts.learn_client(client)

    def cause(self, reason: str) -> None:
        """*reason* is why the session will end, unless a more specific one is seen (`ending.END_REASONS`)."""
        if self._stage is _NEW or self._gate is not None:  # else nobody asks
            self._end_reason = more_specific(self._end_reason, reason)

    @property
    def end_reason(self) -> str | None:
        """The most specific cause seen so far."""
        return self._end_reason

    @property
    def raised(self) -> bool:
        """Whether the application has raised, in the command that is under way."""
        return self._raised

    @property
    def last_reply(self) -> tuple[int | None, str | None]:
        """Code and enhanced status of the last reply."""
        return self._gate.tally.last_reply if self._gate is not None else (None, None)

    @guard
    def failed(self, error: BaseException) -> None:
        """The application's own code raised *error* inside the session."""
        self._error_type = type_name(error)
        self._failure = _RAISED
        self._raised = True
        self.record(SessionException(exception_type=self._error_type))

    @guard
    def connected(self, peer: Address, local: Address) -> None:
        """Client side: the socket is there, between *local* and *peer*."""
        self.peer = peer
        self._facts.learn_ends(peer, local)

    @guard
    def established(self) -> None:
        """Client side: the session is ready for use."""
        self.record(SessionEstablished(duration=time.monotonic() - self._started_clock))

    @guard
    def broke(self, reason: str, error_type: str, message: str | None = None) -> None:
        """Client side: the session failed for *reason* (connect_failed, auth_failed, peer_eof, peer_reset).

        *error_type* is what failed really; *message*, without credentials, is told when it is given.
        """
        self._error_type = error_type
        self._failure = _CLIENT_FAILURES[reason]
        self.cause(reason)
        if message is not None:
            self.record(SessionException(exception_type=error_type, message=message))

    @guard
    def set_device(self, device: str) -> None:
        """The device at the other end is of the type *device*."""
        self._facts.learn({names.DEVICE_TYPE: device})

    def count_bytes(self, *, from_client: int = 0, from_server: int = 0) -> None:
        """So many more bytes of plaintext went over the connection."""
        if self._gate is not None:
            server = self.side is _SERVER
            self._gate.tally.received += from_client if server else from_server
            self._gate.tally.sent += from_server if server else from_client

    def on_end(self, speaker: LastSpeaker) -> None:
        """Let *speaker* say its last words when the session ends, while it can still record."""
        self._last = speaker

    @property
    def listened_to(self) -> bool:
        """Whether anybody takes what this session says."""
        if self._stage is _NEW:
            return not self._scope.silent
        return self._gate is not None and self._gate.listened_to

    # Its life.

    @property
    def started(self) -> bool:
        """Whether the session is on the wire."""
        return self._stage is not _NEW

    def start(self) -> None:
        """Open the span and say so; done by the first event at the latest, and once."""
        if self._stage is not _NEW or self._scope.tracer is None:
            return
        with _changing:
            if self._stage is not _NEW:
                return
            self._stage = _OPEN
        if self._scope.silent:
            return  # it is still the current session of its task, and knows who the client is
        server = self.side is _SERVER
        named = named_after(self.protocol)
        facts = self._starting_facts()
        self._span, writer = span_writer.start(
            self._scope.tracer,
            named.span,
            facts.values,
            # A server's connection is nobody's child: its context is that of whoever opened the listener.
            context=Context() if server else None,
            kind=SpanKind.SERVER if server else SpanKind.CLIENT,
            start_time=self._started_at,
        )
        facts.attach(self._span, writer)
        self.context = set_span_in_context(self._span, set_value(_KEY, self))
        kind = named.server if server else named.client
        self._gate = Gate(self._scope, kind, facts, self._span, self.context, self.capture_level)
        self._ends = _NO_ENDS  # the facts have them now
        live.add(self)
        self.record(SessionStart(facts=facts.without_twins()), timestamp=self._started_at)
        if self._early is not None:
            self.record(self._early)

    def record_at_start(self, event: Event) -> None:
        """Record *event* now, or behind session.start when the session has not started yet."""
        if self._stage is _NEW:
            self._early = event
        else:
            self.record(event)

    def start_here(self) -> None:
        """Start, and be the current session, with its span, for the rest of this task."""
        self.start()
        attach(self.context)

    def record(self, event: Event, *, timestamp: int | None = None) -> None:
        """Say that *event* happened, now or at *timestamp* (ns). Everything on the wire passes here."""
        try:  # of every event: so the guard stands here in full, without the call that its decorator is
            self._record(event, timestamp)
        except Exception as error:  # noqa: BLE001 - as in the guard
            guard.failed(error)

    def _record(self, event: Event, timestamp: int | None) -> None:
        if self._stage is not _OPEN:
            self.start()
            if not self._may_speak():
                return
        gate = self._gate
        if gate is None:
            return
        kind = type(event)
        if kind is AuthEnd and not self._facts.authenticated:
            return  # nobody was logged in
        if self._raised:
            event = self._without_quotes(event)
        learns = _LEARNS.get(kind)
        if learns is not None:
            learns(self, event)
        try:
            gate.record(event, timestamp or time.time_ns())
        finally:
            if kind is AuthEnd:  # the event itself was still theirs
                self._facts.end_user()
                gate.user_changed()

    @guard
    def beat(self, interval: float) -> None:
        """Say that the session goes on, when it is older than *interval* (s)."""
        age = time.monotonic() - self._started_clock
        if self._stage is _OPEN and age >= interval:
            self.record(SessionHeartbeat(duration=age))

    def end(self, reason: str | None = None) -> None:
        """End the session, because of *reason* unless a cause was seen. Done once."""
        if self._stage is _NEW:
            with guard:
                self.start()
        with _changing:
            if self._stage is not _OPEN:
                return
            self._stage = _ENDING
            self._ender = threading.get_ident()
        if self._gate is not None and self._span is not None:  # somebody listens
            self._say_goodbye(self._gate, self._span, reason)
        self._stage = _ENDED
        # The context held the session and the session the context: only the garbage collector would find them.
        if len(self.context) == 1:
            self.context = _NOTHING_ELSE
        else:
            left = self.context.copy()
            left.pop(_KEY, None)
            self.context = Context(left)

    @guard
    def _say_goodbye(self, gate: Gate, span: Span, reason: str | None) -> None:
        last, self._last = self._last, None
        if last is not None:
            with guard:
                last.say_last_words()
        if self._end_reason is None:
            self.cause(reason or "_OTHER")
        self._end_user()
        self._close(gate, span)

    def discard(self) -> None:
        """Forget a session that has not started: a health check, our own probe."""
        with _changing:
            if self._stage is _NEW:
                self._stage = _ENDED

    def disown(self) -> None:
        """This process is a fork: the session is its parent's, and nothing of it is said here."""
        self._stage = _ENDED
        self._last = None
        self._facts.detach()

    # How it does it.

    def _may_speak(self) -> bool:
        if self._stage is _OPEN:
            return True
        return self._stage is _ENDING and self._ender == threading.get_ident()

    def _without_quotes(self, event: Event) -> Event:
        """*event* without the text of a reply to a command in which the application raised.

        Servers answer with the text of the exception (aiosmtpd: ``500 Error: (ValueError) ...``), which may
        quote content or a password.
        """
        if isinstance(event, Command):
            self._raised = False  # its reply is the last that can
        if getattr(event, "reply_text", None) is None:
            return event
        return dataclasses.replace(event, reply_text=None)  # type: ignore[call-arg]

    def _close(self, gate: Gate, span: Span) -> None:
        ending = self._ending_facts(gate)
        self._facts.learn(ending)
        gate.ended(ending)
        self.record(SessionEnd(facts=self._facts.without_twins()))
        self._stage = _ENDED
        live.remove(self)
        if self._error_type is not None:
            span.set_status(StatusCode.ERROR, self._failure)
        gate.close()
        self._facts.detach()
        span.end()

    def _starting_facts(self) -> Facts:
        found: dict[str, Value] = {
            names.SIDE: self.side._value_,
            names.PLAIN_SESSION_ID: self.id,
            names.PLAIN_PROTOCOL: self.protocol,
        }
        network_name = self.network_name
        if network_name is not None:
            found[names.PROTOCOL_NAME] = network_name
        if self.side is not _SERVER:
            found |= operation_in_context()
        self._facts.start(found, self.peer, *self._ends)
        return self._facts

    def _ending_facts(self, gate: Gate) -> dict[str, Value]:
        ending = gate.counts()
        if self._error_type is not None:
            ending[names.ERROR_TYPE] = self._error_type
        reason = self._end_reason or "_OTHER"
        ending[names.OUTCOME] = outcome(gate.tally, self._error_type is not None, self.unfinished, reason)
        ending[names.END_REASON] = reason
        ending[names.DURATION] = time.monotonic() - self._started_clock
        return ending

    def _accept_user(self, user: str | None) -> None:
        self._facts.accept_user(user)
        if self._gate is not None:
            self._gate.user_changed()

    def _end_user(self) -> None:
        if self._facts.authenticated:
            self.record(AuthEnd())

    # What events teach the session.

    def _learn_user(self, event: AuthSuccess) -> None:
        self._end_user()  # a second login ends the first (RFC 4954 4 forbids it, servers allow it)
        self._accept_user(event.identity)

    def _learn_tls(self, event: TLSEstablished) -> None:
        self._end_user()  # RFC 3207 4.2: what was known before STARTTLS is forgotten, a login too
        assert self._gate is not None  # or nothing is recorded, and so nothing learnt
        self._facts.learn(self._gate.as_facts(event))

    def _learn_tls_failure(self, event: TLSFailure) -> None:
        self.cause("tls_failed")
        self._facts.learn({names.TLS_MODE: event.mode})

    def _learn_peer_hostname(self, event: Command) -> None:
        if event.peer_hostname is not None:
            assert self._gate is not None
            shown = self._gate.as_facts(event).items()
            self._facts.learn({key: value for key, value in shown if key.startswith(names.PEER_HOSTNAME)})


_LEARNS: Final[dict[type[Event], Callable[[Any, Any], None]]] = {
    AuthSuccess: Session._learn_user,
    TLSEstablished: Session._learn_tls,
    TLSFailure: Session._learn_tls_failure,
    Command: Session._learn_peer_hostname,
}


def current_session() -> Session | None:
    """The session in which this code runs, or None.

    It goes where the OpenTelemetry context goes: into tasks and coroutines, into ``asyncio.to_thread``;
    into plain threads with opentelemetry-instrumentation-threading, or by `Session.active`.
    """
    session = get_value(_KEY)
    return session if isinstance(session, Session) and not session.ended else None
