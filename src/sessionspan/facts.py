"""What is known of one session: the attributes of its span, and the identity that every event carries."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from opentelemetry.trace import Span

from sessionspan import names
from sessionspan.addresses import UNKNOWN, Address
from sessionspan.events import Value
from sessionspan.redaction import SPAN_TEXT, clean

# Identity: what a log backend needs on every event to answer "failed logins by address" with no join.
_IDENTITY: Final = (
    names.SESSION_ID,
    names.SIDE,
    names.PROTOCOL_NAME,
    names.CLIENT_ADDRESS,
    names.CLIENT_PORT,
    names.SERVER_ADDRESS,
    names.SERVER_PORT,
)


class Facts:
    """The facts of one session; once it has a span, what is learnt goes there at once."""

    __slots__ = ("_identity", "_span", "auth_sequence", "client", "user", "values")

    def __init__(self, values: dict[str, Value]) -> None:
        self.values = values
        self.client = UNKNOWN
        self.user: str | None = None
        # Seed 003's log_subid: 0 before the first login.
        self.auth_sequence = 0
        self._span: Span | None = None
        self._identity: dict[str, Value] | None = None

    def attach(self, span: Span) -> None:
        """*span* was started with these facts; later ones are set on it."""
        self._span = span

    def learn(self, facts: Mapping[str, Value]) -> None:
        """Add *facts*."""
        self.values.update(facts)
        self._identity = None
        if self._span is not None and facts:
            self._span.set_attributes(facts)

    def learn_address(self, host_key: str, port_key: str, address: Address) -> None:
        """Add *address* under these two keys, as far as it is known."""
        found: dict[str, Value] = {}
        if address.host is not None:
            found[host_key] = clean(address.host, SPAN_TEXT)
        if address.port is not None:
            found[port_key] = address.port
        self.learn(found)

    def learn_client(self, client: Address) -> None:
        """The real client is *client*; nothing is kept of what was thought before."""
        for key in (names.CLIENT_ADDRESS, names.CLIENT_PORT, names.PLAIN_CLIENT_IP):
            self.values.pop(key, None)
        self.client = client
        self.learn_address(names.CLIENT_ADDRESS, names.CLIENT_PORT, client)
        if client.host is not None:
            self.learn({names.PLAIN_CLIENT_IP: self.values[names.CLIENT_ADDRESS]})

    def accept_user(self, user: str | None) -> None:
        """A login was accepted; *user* is None when the protocol does not show who it was."""
        self.auth_sequence += 1
        self.user = clean(user, SPAN_TEXT) if user is not None else None
        if self.user is not None:
            self.learn({names.USER_NAME: self.user, names.PLAIN_USERNAME: self.user})
        self._identity = None

    def end_user(self) -> None:
        """The identity ended. The span keeps the last one; later events have none."""
        self.user = None
        self._identity = None

    def without_twins(self) -> dict[str, Value]:
        """The facts as our own events carry them: without the plain names, which repeat others."""
        return {key: value for key, value in self.values.items() if key not in names.PLAIN_TWINS}

    @property
    def identity(self) -> dict[str, Value]:
        """Who and what this session is, as on every event; built once, and again when it changes."""
        identity = self._identity
        if identity is None:
            identity = {key: self.values[key] for key in _IDENTITY if key in self.values}
            if self.user is not None:
                identity[names.USER_NAME] = self.user
            identity[names.AUTH_SEQUENCE] = self.auth_sequence
            self._identity = identity
        return identity
