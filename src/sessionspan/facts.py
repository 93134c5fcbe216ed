"""What is known of one session: the attributes of its span, and the identity that every event carries.

Here the class *identity* is applied, for everything that follows: span, events, stamped log records.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from opentelemetry import context as otel_context
from opentelemetry.context import Context, get_value, set_value
from opentelemetry.trace import Span

from sessionspan import names
from sessionspan.addresses import Address
from sessionspan.events import Value
from sessionspan.redaction import KEEP, SPAN_TEXT, Rule, clean, policy
from sessionspan.span_writer import BY_API, SpanWriter

# The operation in which a session of a client was opened, or an event of it happened.
OPERATION: Final = (names.OPERATION_ID, names.OPERATION_NAME, names.OPERATION_DEVICE_ID, names.OPERATION_USER_ID)
# Identity: what a log backend needs on every event to answer "failed logins by address" with no join.
_IDENTITY: Final = (
    names.SESSION_ID,
    names.SIDE,
    names.PROTOCOL_NAME,
    names.CLIENT_ADDRESS,
    names.CLIENT_PORT,
    names.CLIENT_HASH,
    names.SERVER_ADDRESS,
    names.SERVER_PORT,
    names.DEVICE_TYPE,
    *OPERATION,
)
_NO_FACTS: Final[Mapping[str, Value]] = {}
_OPERATION_KEY: Final = otel_context.create_key("sessionspan-operation")
_OF_A_CLIENT: Final = (names.CLIENT_ADDRESS, names.CLIENT_PORT, names.CLIENT_HASH, names.PLAIN_CLIENT_IP)


def in_operation(facts: Mapping[str, Value], context: Context) -> Context:
    """*context*, inside the operation with these *facts*."""
    return set_value(_OPERATION_KEY, facts, context)


def operation_in_context() -> Mapping[str, Value]:
    """The facts of the operation in which this code runs; empty outside of any."""
    return get_value(_OPERATION_KEY) or _NO_FACTS  # type: ignore[return-value]


class Facts:
    """The facts of one session; while its span is open, what is learnt goes there at once."""

    __slots__ = (
        "_changes",
        "_shown_user",
        "_span",
        "_writer",
        "auth_sequence",
        "client",
        "user",
        "values",
    )

    def __init__(self, transport: str, device: str | None, client: Address) -> None:
        # That of an object: they share the table of their keys, and take half of the memory (PEP 412).
        self.values: dict[str, Value] = vars(_Known())
        self.values[names.TRANSPORT] = transport
        self.values[names.TLS_MODE] = "none"
        if device is not None:
            self.values[names.DEVICE_TYPE] = device
        self.client = client
        self.user: str | None = None
        # Seed 003's log_subid: 0 before the first login.
        self.auth_sequence = 0
        self._span: Span | None = None
        self._writer: SpanWriter = BY_API
        self._changes = 0
        # None without a login; else who it is as the class *identity* lets it out, which may be nothing.
        self._shown_user: Mapping[str, Value] | None = None

    def start(self, found: dict[str, Value], peer: Address, local: Address, server: Address) -> None:
        """What is known when the session starts: *found*, and the ends of its connection."""
        identity = policy().identity
        if identity is KEEP:
            _address(found, names.PEER_ADDRESS, names.PEER_PORT, peer)
        _address(found, names.LOCAL_ADDRESS, names.LOCAL_PORT, local)
        _address(found, names.SERVER_ADDRESS, names.SERVER_PORT, server)
        _client(found, self.client, identity)
        self.learn(found)

    def attach(self, span: Span, writer: SpanWriter) -> None:
        """*span* has these facts; later ones are set on it by *writer*."""
        self._span = span
        self._writer = writer

    def detach(self) -> None:
        """The span ends: what is learnt from here on is not on it."""
        self._span = None
        self._changed()
        self.values = self.values.copy()  # which may be lent to the span

    def learn(self, facts: Mapping[str, Value]) -> None:
        """Add *facts*."""
        try:
            if self._span is not None and facts and not self._writer.set(self._span, facts):
                self.detach()  # the application has ended it
            self.values.update(facts)
        finally:  # a log handler of the application may raise where the SDK warns
            self._changed()

    def learn_peer(self, host_key: str, port_key: str, address: Address) -> None:
        """Add the *address* of a machine on the other side: identity, and of no use when hashed."""
        if policy().identity is KEEP:
            found: dict[str, Value] = {}
            _address(found, host_key, port_key, address)
            self.learn(found)

    def learn_ends(self, peer: Address, local: Address) -> None:
        """A client's connection is there, from *local*, which is the client's address, to *peer*."""
        self.learn_peer(names.PEER_ADDRESS, names.PEER_PORT, peer)
        found: dict[str, Value] = {}
        _address(found, names.LOCAL_ADDRESS, names.LOCAL_PORT, local)
        self.learn(found)
        self.learn_client(local)

    def learn_client(self, client: Address) -> None:
        """The real client is *client*; nothing is kept of what was thought before."""
        if self._span is not None:
            self.values = self.values.copy()  # nothing is taken off a span
        for key in _OF_A_CLIENT:
            self.values.pop(key, None)
        self.client = client
        found: dict[str, Value] = {}
        _client(found, client, policy().identity)
        self.learn(found)

    def accept_user(self, user: str | None) -> None:
        """A login was accepted; *user* is None when the protocol does not show who it was."""
        self.auth_sequence += 1
        self.user = clean(user, SPAN_TEXT) if user is not None else None
        shown = self._shown_user = _shown(self.user, policy().identity)
        if names.USER_NAME in shown:
            self.learn({**shown, names.PLAIN_USERNAME: shown[names.USER_NAME]})
        else:
            self.learn(shown)

    def end_user(self) -> None:
        """The identity ended. The span keeps the last one; later events have none."""
        self.user = None
        self._shown_user = None
        self._changed()

    @property
    def authenticated(self) -> bool:
        """Whether a login holds."""
        return self._shown_user is not None

    @property
    def recorded(self) -> bool:
        """Whether the session's span is open and takes what is learnt."""
        span = self._span
        return span is not None and span.is_recording()

    def without_twins(self) -> dict[str, Value]:
        """The facts as our own events carry them: without the plain names, which repeat others."""
        found = self.values.copy()
        for key in names.PLAIN_TWINS:
            found.pop(key, None)
        return found

    def plain_names(self) -> dict[str, Value]:
        """The plain names that hold now, for log records of the application."""
        found = {key: self.values[key] for key in names.PLAIN_TWINS if key in self.values}
        if self.user is None:
            found.pop(names.PLAIN_USERNAME, None)
        return found

    @property
    def identity(self) -> dict[str, Value]:
        """Who and what this session is, as on every event; it is given away, so that the rest can be added."""
        known = _ready.get(self)
        if known is None:
            known = self._get_ready()
        identity = known.copy()
        identity[names.AUTH_SEQUENCE] = self.auth_sequence  # not kept: a sixth key doubles a dictionary
        return identity

    def _get_ready(self) -> dict[str, Value]:
        changes = self._changes
        found: dict[str, Value] = {key: self.values[key] for key in _IDENTITY if key in self.values}
        found.update(self._shown_user or _NO_FACTS)
        if self._span is not None:  # else the session is over
            if len(_ready) >= _READY:
                _ready.clear()
            _ready[self] = found
            if self._changes != changes:  # meanwhile, in another thread: the heartbeat's, or the session's own
                _ready.pop(self, None)
        return found

    def _changed(self) -> None:
        self._changes += 1
        _ready.pop(self, None)


# The identities of sessions that have said something lately, for their next event. Most open sessions have nothing
# to say for a long time, and need none. Where more than these speak in turn, an event takes some percent longer.
_READY: Final = 256  # sessions
_ready: Final[dict[Facts, dict[str, Value]]] = {}


class _Known:
    """Has the facts of a session as its attributes."""


def _address(found: dict[str, Value], host_key: str, port_key: str, address: Address) -> None:
    """Add *address* to *found* under these two keys, as far as it is known."""
    host, port = address
    if host is not None:
        found[host_key] = clean(host, SPAN_TEXT)
    if port is not None:
        found[port_key] = port


def _shown(user: str | None, identity: Rule) -> Mapping[str, Value]:
    """Who *user* is, as the class *identity* lets it out."""
    apply, renames = identity
    shown = apply(user) if user is not None else None
    if shown is None:
        return _NO_FACTS
    return {renames(names.USER_NAME) if renames is not None else names.USER_NAME: shown}


def _client(found: dict[str, Value], client: Address, identity: Rule) -> None:
    """Add to *found* who the client is, as the class *identity* lets it out."""
    if client.host is None:
        return
    if identity is KEEP:
        _address(found, names.CLIENT_ADDRESS, names.CLIENT_PORT, client)
        found[names.PLAIN_CLIENT_IP] = found[names.CLIENT_ADDRESS]
        return
    apply, renames = identity
    shown = apply(client.host)
    if shown is not None and renames is not None:
        found[renames(names.CLIENT_ADDRESS)] = shown
