"""Session: one connection, one span.

`Session.record` is the one gate through which all telemetry of a session passes: quota, redaction,
identity, the log record, the copy on the span. Instrumentations open sessions and say what they saw;
people use the same object through `sessionspan.session` and `sessionspan.current_session`.
"""

from __future__ import annotations

import contextlib
import json
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from enum import Enum
from typing import TYPE_CHECKING, Any, Final

from opentelemetry import context as otel_context
from opentelemetry._logs import SeverityNumber
from opentelemetry.context import Context, attach, detach, get_value, set_value
from opentelemetry.instrumentation.utils import is_instrumentation_enabled
from opentelemetry.trace import SpanKind, StatusCode, set_span_in_context

from sessionspan import app_log, live, names
from sessionspan.addresses import UNKNOWN, Address, parse_ip
from sessionspan.ending import more_specific, outcome
from sessionspan.events import (
    AuthEnd,
    AuthSuccess,
    Command,
    Event,
    SessionEnd,
    SessionException,
    SessionStart,
    TLSEstablished,
    TLSFailure,
    Value,
)
from sessionspan.facts import Facts
from sessionspan.guard import guard
from sessionspan.redaction import display_line, policy
from sessionspan.scope import Scope, is_enabled
from sessionspan.settings import settings
from sessionspan.span_events import SpanEvents
from sessionspan.tally import Tally

if TYPE_CHECKING:
    from opentelemetry.trace import Span

    from sessionspan.metrics import Metrics

_KEY: Final = otel_context.create_key("sessionspan-session")
_ending = threading.Lock()  # held for the change of a stage only

# network.protocol.name is the protocol in lower case, but for these (None: not a network protocol).
_NETWORK_NAMES: Final[dict[str, str | None]] = {"JMAP": "http", "WEBSOCKET": "http", "SERIAL": None}


class Side(Enum):
    """Which side of the connection this process is."""

    SERVER = "server"
    CLIENT = "client"


class _Stage(Enum):
    NEW = "new"  # not on the wire yet: it is not yet known who the client is, or whether it is one
    OPEN = "open"
    ENDING = "ending"  # saying its last words
    ENDED = "ended"


class Session:
    """One connection, one span; get one from `sessionspan.session` or `current_session`."""

    __slots__ = (
        "__weakref__",
        "_end_reason",
        "_ends",
        "_error_type",
        "_facts",
        "_id",
        "_last_words",
        "_logger",
        "_metrics",
        "_on_span",
        "_scope",
        "_span",
        "_stage",
        "_started_at",
        "_started_clock",
        "_tally",
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
        side: Side = Side.SERVER,
        transport: str = "tcp",
        peer: Address = UNKNOWN,
        local: Address = UNKNOWN,
        server: Address = UNKNOWN,
    ) -> None:
        self.protocol = protocol
        self.side = side
        self.peer = peer  # the other end of the socket, a proxy maybe
        # Whether the peer has left something half done; observers say so at the end.
        self.unfinished = False
        self._scope = scope
        self._logger = scope.logger
        self._metrics: Metrics | None = None  # once it has started, and if anybody takes them
        self._id: str | None = None
        self._started_at = time.time_ns()
        self._started_clock = time.monotonic()
        self._stage = _Stage.NEW
        self._span: Span | None = None
        self._on_span: SpanEvents | None = None
        self._tally = Tally(settings().max_events)
        self._end_reason: str | None = None
        self._error_type: str | None = None
        self._last_words: Callable[[], None] | None = None
        self._ends = (local, server)
        # An end of a unix socket is no client address.
        client = (peer if side is Side.SERVER else local) if transport == "tcp" else UNKNOWN
        self._facts = Facts({names.TRANSPORT: transport, names.TLS_MODE: "none"}, client)
        self.context: Context = set_value(_KEY, self)

    def __repr__(self) -> str:
        return f"<Session {self.id} {self.protocol} {self._stage.value}>"

    def __del__(self) -> None:
        if getattr(self, "_stage", None) is _Stage.OPEN and self._span is not None:
            live.orphan(self)

    # What a session is, for people.

    @property
    def id(self) -> str:
        """The session's UUID (version 4, RFC 9562 5.4)."""
        if self._id is None:
            self._id = str(uuid.uuid4())
        return self._id

    @property
    def client_ip(self) -> str | None:
        """The real client's IP address, also behind a proxy; None when unknown."""
        return self._facts.client.host

    @property
    def username(self) -> str | None:
        """The user as whom the session acts now; None before a login was accepted."""
        return self._facts.user

    @property
    def network_name(self) -> str | None:
        """The protocol as ``network.protocol.name`` has it; None for one that is not of a network."""
        return _NETWORK_NAMES.get(self.protocol, self.protocol.lower())

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
        return self._stage is _Stage.ENDED

    @guard
    def set_username(self, username: str) -> None:
        """Say that the session acts as *username* from here on; earlier events keep what they had."""
        if username != self.username:
            self._end_user()
            self._accept_user(username)

    def debug(self, message: str, /, **fields: object) -> None:
        """Log *message* at DEBUG to the stdlib logger ``sessionspan.app``, with *fields* and this session."""
        app_log.log(app_log.DEBUG, self, message, fields)

    def info(self, message: str, /, **fields: object) -> None:
        """Log *message* at INFO; see `debug`."""
        app_log.log(app_log.INFO, self, message, fields)

    def warning(self, message: str, /, **fields: object) -> None:
        """Log *message* at WARNING; see `debug`."""
        app_log.log(app_log.WARNING, self, message, fields)

    def error(self, message: str, /, **fields: object) -> None:
        """Log *message* at ERROR; see `debug`."""
        app_log.log(app_log.ERROR, self, message, fields)

    def to_dict(self) -> dict[str, str | None]:
        """When the session started, and its plain names: session_id, client_ip, protocol, username."""
        started = datetime.fromtimestamp(self._started_at / 1e9, timezone.utc)
        return {
            "timestamp": started.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            names.PLAIN_SESSION_ID: self.id,
            names.PLAIN_CLIENT_IP: self.client_ip,
            names.PLAIN_PROTOCOL: self.protocol,
            names.PLAIN_USERNAME: self.username,
        }

    def to_json(self) -> str:
        """`to_dict` as one line of JSON."""
        return json.dumps(self.to_dict())

    def header_value(self) -> str:
        """The value for an ``X-Session-Id`` header: the session's id."""
        return self.id

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
        self._end_reason = more_specific(self._end_reason, reason)

    @property
    def end_reason(self) -> str | None:
        """The most specific cause seen so far."""
        return self._end_reason

    @property
    def last_reply(self) -> tuple[int | None, str | None]:
        """Code and enhanced status of the last reply."""
        return self._tally.last_reply

    @guard
    def failed(self, error: BaseException) -> None:
        """The application's own code raised *error* inside the session."""
        self._error_type = type_name(error)
        self.record(SessionException(exception_type=self._error_type, message=str(error)))

    def count_bytes(self, *, from_client: int = 0, from_server: int = 0) -> None:
        """So many more bytes of plaintext went over the connection."""
        if self.side is Side.SERVER:
            self._tally.received += from_client
            self._tally.sent += from_server
        else:
            self._tally.received += from_server
            self._tally.sent += from_client

    def on_end(self, last_words: Callable[[], None]) -> None:
        """Call *last_words* when the session ends, while it can still record."""
        self._last_words = last_words

    @property
    def listened_to(self) -> bool:
        """Whether anybody takes what this session says: its span records, logs or metrics are taken."""
        return _is_recording(self._span) or self._metrics is not None or is_enabled(self._logger)

    # Its life.

    @property
    def started(self) -> bool:
        """Whether the session is on the wire."""
        return self._stage is not _Stage.NEW

    def start(self) -> None:
        """Open the span and say so; done by the first event at the latest, and once."""
        if self._stage is not _Stage.NEW or self._scope.tracer is None:
            return
        self._stage = _Stage.OPEN
        if self._scope.silent:
            return  # it is still the current session of its task, and knows who the client is
        server = self.side is Side.SERVER
        facts = self._starting_facts()
        self._span = self._scope.tracer.start_span(
            f"{self.protocol} session",
            # A server's connection is nobody's child: its context is that of whoever opened the listener.
            context=Context() if server else None,
            kind=SpanKind.SERVER if server else SpanKind.CLIENT,
            attributes=facts.values,
            start_time=self._started_at,
        )
        facts.attach(self._span)
        self.context = set_span_in_context(self._span, set_value(_KEY, self))
        if _is_recording(self._span) and settings().events != "logs":
            self._on_span = SpanEvents(self._span, facts.values)
        if self._scope.metrics is not None and self._scope.metrics.enabled:
            self._metrics = self._scope.metrics
            self._metrics.session_opened(self)
        live.add(self)
        if self.listened_to:
            self.record(SessionStart(facts=facts.without_twins()), timestamp=self._started_at)

    def start_here(self) -> None:
        """Start, and be the current session, with its span, for the rest of this task."""
        self.start()
        attach(self.context)

    @guard
    def record(self, event: Event, *, timestamp: int | None = None) -> None:
        """Say that *event* happened, now or at *timestamp* (ns). Everything on the wire passes here."""
        self.start()
        if self._span is None or self._stage is _Stage.ENDED:
            return
        learns = _LEARNS.get(type(event))
        if learns is not None:
            learns(self, event)
        self._tally.count(event)
        if self._metrics is not None:
            self._metrics.event(self, event)
        if settings().capture == "off" and not event.vital:
            return
        if not self._tally.admits(event):
            if self._metrics is not None:
                self._metrics.event_dropped(self, "session_cap")
            return
        timestamp = timestamp or time.time_ns()
        if settings().events != "span" and is_enabled(self._logger) and self._samples(event):
            self._emit(event, timestamp)
        if self._on_span is not None:
            self._on_span.add(event, timestamp, self._facts.auth_sequence)

    @guard
    def end(self, reason: str | None = None) -> None:
        """End the session, because of *reason* unless a more specific cause was seen. Done once."""
        self.start()
        with _ending:
            if self._stage is not _Stage.OPEN:
                return
            self._stage = _Stage.ENDING
        last_words, self._last_words = self._last_words, None
        with guard:
            if last_words is not None:
                last_words()
        self.cause(reason or "_OTHER")
        self._end_user()
        self._close()

    def discard(self) -> None:
        """Forget a session that has not started: a health check, our own probe."""
        with _ending:
            if self._stage is _Stage.NEW:
                self._stage = _Stage.ENDED

    def disown(self) -> None:
        """This process is a fork: the session is its parent's, and nothing of it is said here."""
        self._stage = _Stage.ENDED
        self._last_words = None

    # How it does it.

    def _close(self) -> None:
        if self._span is None:  # it was silent
            self._stage = _Stage.ENDED
            return
        ending = self._ending_facts()
        self._facts.learn(ending)
        if self._metrics is not None:
            self._metrics.session_ended(self, ending)
        if self.listened_to:
            self.record(SessionEnd(facts=self._facts.without_twins()))
        self._stage = _Stage.ENDED
        live.remove(self)
        if self._error_type is not None:
            # Fixed text: an exception's own may hold what the peer sent.
            self._span.set_status(StatusCode.ERROR, "the application raised inside the session")
        if self._on_span is not None:
            self._on_span.flush()
            self._on_span = None
        self._span.end()

    def _starting_facts(self) -> Facts:
        found: dict[str, Value] = {
            names.SESSION_ID: self.id,
            names.SIDE: self.side.value,
            names.PLAIN_SESSION_ID: self.id,
            names.PLAIN_PROTOCOL: self.protocol,
        }
        if self.network_name is not None:
            found[names.PROTOCOL_NAME] = self.network_name
        facts = self._facts
        facts.learn(found)
        local, server = self._ends
        facts.learn_peer(names.PEER_ADDRESS, names.PEER_PORT, self.peer)
        facts.learn_address(names.LOCAL_ADDRESS, names.LOCAL_PORT, local)
        facts.learn_address(names.SERVER_ADDRESS, names.SERVER_PORT, server)
        facts.learn_client(facts.client)
        return facts

    def _ending_facts(self) -> dict[str, Value]:
        ending = self._tally.attributes()
        ending[names.EVENT_COUNT] = self._tally.events + 1  # with session.end itself
        if self._on_span is not None:
            ending[names.EVENT_UNSPANNED_COUNT] = self._on_span.missing_after_one_more()
        if self._error_type is not None:
            ending[names.ERROR_TYPE] = self._error_type
        reason = self._end_reason or "_OTHER"
        ending[names.OUTCOME] = outcome(self._tally, self._error_type is not None, self.unfinished, reason)
        ending[names.END_REASON] = reason
        ending[names.DURATION] = time.monotonic() - self._started_clock
        return ending

    def _samples(self, event: Event) -> bool:
        """Whether *event* goes to the logs though the span may not be sampled (``SESSIONSPAN_UNSAMPLED``)."""
        if self._on_span is not None or settings().unsampled == "all" or self._span is None:
            return True
        # No TracerProvider at all gives an invalid context: that is not unsampled.
        context = self._span.get_span_context()
        if not context.is_valid or context.trace_flags.sampled:
            return True
        return settings().unsampled == "audit" and event.audit

    def _emit(self, event: Event, timestamp: int) -> None:
        assert self._logger is not None
        attributes = dict(self._facts.identity)
        attributes.update(policy().logs.redact(event))
        failed = self._error_type is not None and type(event) is SessionEnd
        self._logger.emit(
            timestamp=timestamp,
            context=self.context,
            severity_number=SeverityNumber.ERROR if failed else event.severity,
            body=display_line(event, attributes),
            attributes=attributes,
            event_name=event.name,
        )

    def _accept_user(self, user: str | None) -> None:
        self._facts.accept_user(user)
        if self._metrics is not None:
            self._metrics.session_state(self, authenticated=True)

    def _end_user(self) -> None:
        if self._facts.authenticated:
            self.record(AuthEnd())
            self._facts.end_user()
            if self._metrics is not None:
                self._metrics.session_state(self, authenticated=False)

    # What events teach the session.

    def _learn_user(self, event: AuthSuccess) -> None:
        self._end_user()  # a second login ends the first (RFC 4954 4 forbids it, servers allow it)
        self._accept_user(event.identity)

    def _learn_tls(self, event: TLSEstablished) -> None:
        self._end_user()  # RFC 3207 4.2: what was known before STARTTLS is forgotten, a login too
        self._facts.learn(policy().spans.redact(event))

    def _learn_tls_failure(self, event: TLSFailure) -> None:
        self.cause("tls_failed")
        self._facts.learn({names.TLS_MODE: event.mode})

    def _learn_peer_hostname(self, event: Command) -> None:
        if event.peer_hostname is not None:
            shown = policy().spans.redact(event).items()
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


@guard
def open_session(
    scope: Scope,
    protocol: str,
    *,
    side: Side = Side.SERVER,
    transport: str = "tcp",
    peer: Address = UNKNOWN,
    local: Address = UNKNOWN,
    server: Address = UNKNOWN,
) -> Session | None:
    """A new session that has not started yet.

    None when there shall be none: *scope* is uninstrumented, instrumentation is suppressed in this
    context, or the client is to be ignored (``SESSIONSPAN_IGNORE_CLIENTS``).
    """
    if not scope.bound or not is_instrumentation_enabled() or is_ignored(peer):
        return None
    return Session(scope, protocol, side=side, transport=transport, peer=peer, local=local, server=server)


def is_ignored(client: Address) -> bool:
    """Whether connections of *client* are no sessions, by ``SESSIONSPAN_IGNORE_CLIENTS``."""
    networks = settings().ignore_clients
    if not networks or client.host is None:
        return False
    address = parse_ip(client.host)
    return address is not None and any(address in network for network in networks)


def type_name(error: BaseException) -> str:
    """The low-cardinality name of an exception for ``error.type``: its class, with its module."""
    kind = type(error)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def _is_recording(span: Span | None) -> bool:
    return span is not None and span.is_recording()
