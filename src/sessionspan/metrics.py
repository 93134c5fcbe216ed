"""The metrics of sessions: labels from closed sets only, whatever peers send; sampling does not touch them.

A client's address or a user as a label would be a series for each of them, which the SDK keeps for ever.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from opentelemetry.metrics import Counter, Histogram, MeterProvider, UpDownCounter, get_meter
from opentelemetry.metrics import NoOpCounter as _NoOpCounter

from sessionspan import names
from sessionspan.events import (
    AuthFailure,
    AuthSuccess,
    Command,
    Event,
    MailReception,
    MailRejection,
    Value,
)
from sessionspan.version import __version__

if TYPE_CHECKING:
    from sessionspan.session import Session

STATE: Final = "sessionspan.session.state"
MECHANISM: Final = "sessionspan.auth.mechanism"
COMMAND_NAME: Final = "sessionspan.command.name"
REPLY_STATUS: Final = "sessionspan.reply.status"
MAIL_TYPE: Final = "sessionspan.mail.type"
DROP_REASON: Final = "sessionspan.drop.reason"

DROP_REASONS: Final = ("session_cap", "queue_full", "too_large", "internal_error", "export_failed")


class Instrument(NamedTuple):
    """One row of the table: what docs and tests read, and what the meter is asked for."""

    name: str
    kind: type[Counter] | type[UpDownCounter] | type[Histogram]
    unit: str
    meaning: str
    labels: tuple[str, ...]
    bounds: tuple[float, ...] = ()


COMMON: Final = (names.SIDE, names.PROTOCOL_NAME)

ACTIVE: Final = Instrument(
    "sessionspan.session.active", UpDownCounter, "{session}", "Sessions that are open.", (STATE,)
)
# The SDK's default bounds begin at 0 and end at 10,000: useless in seconds.
DURATION: Final = Instrument(
    "sessionspan.session.duration",
    Histogram,
    "s",
    "How long sessions lasted.",
    (names.OUTCOME, names.END_REASON, names.ERROR_TYPE),
    (0.01, 0.1, 0.5, 1, 5, 10, 30, 60, 300, 1800, 3600, 14400, 86400),
)
COMMANDS: Final = Instrument(
    "sessionspan.command.duration",
    Histogram,
    "s",
    "From when the server takes a command to its reply, without waiting for the client.",
    (COMMAND_NAME, REPLY_STATUS),
    (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10, 30, 60, 300),
)
ATTEMPTS: Final = Instrument(
    "sessionspan.auth.attempts",
    Counter,
    "{attempt}",
    "Logins; those without an error.type succeeded.",
    (MECHANISM, names.ERROR_TYPE, names.TLS_MODE),
)
MAIL: Final = Instrument(
    "sessionspan.mail.records", Counter, "{record}", "Mail records, by type.", (MAIL_TYPE, REPLY_STATUS)
)
RECEIVED: Final = Instrument(
    "sessionspan.session.received.size", Counter, "By", "Plaintext that sessions received.", ()
)
SENT: Final = Instrument("sessionspan.session.sent.size", Counter, "By", "Plaintext that sessions sent.", ())
DROPPED: Final = Instrument(
    "sessionspan.telemetry.dropped",
    Counter,
    "{event}",
    "Events that were counted but not recorded.",
    (DROP_REASON,),
)
TABLE: Final = (ACTIVE, DURATION, COMMANDS, ATTEMPTS, MAIL, RECEIVED, SENT, DROPPED)

# What alerts ask about exists from the start, or `increase()` misses the first failure.
_FROM_THE_START: Final[tuple[tuple[Instrument, tuple[Mapping[str, str], ...]], ...]] = (
    (ACTIVE, ({STATE: "unauthenticated"}, {STATE: "authenticated"})),
    (
        ATTEMPTS,
        tuple(
            {MECHANISM: mechanism, names.TLS_MODE: mode} | error
            for mechanism in ("PLAIN", "LOGIN")
            for mode in ("none", "starttls", "implicit")
            for error in ({}, {names.ERROR_TYPE: "invalid_credentials"})
        ),
    ),
    (
        MAIL,
        (
            {MAIL_TYPE: "reception", REPLY_STATUS: "2xx"},
            {MAIL_TYPE: "rejection", REPLY_STATUS: "4xx"},
            {MAIL_TYPE: "rejection", REPLY_STATUS: "5xx"},
        ),
    ),
    (RECEIVED, ({},)),
    (SENT, ({},)),
    (DROPPED, tuple({DROP_REASON: reason} for reason in DROP_REASONS)),
)


class Metrics:
    """The instruments of one scope."""

    def __init__(self, scope: str, provider: MeterProvider | None, schema_url: str) -> None:
        meter = get_meter(scope, __version__, provider, schema_url)
        self._instruments: dict[str, Any] = {}
        for row in TABLE:
            if row.kind is Histogram:
                made: Any = meter.create_histogram(
                    row.name, row.unit, row.meaning, explicit_bucket_boundaries_advisory=list(row.bounds)
                )
            else:
                create = meter.create_counter if row.kind is Counter else meter.create_up_down_counter
                made = create(row.name, row.unit, row.meaning)
            self._instruments[row.name] = made
        self._labels: dict[tuple[object, ...], dict[str, Value]] = {}
        self._begun: set[str] = set()

    @property
    def enabled(self) -> bool:
        """Whether anybody takes them; the API's proxies find a provider that is set up late."""
        counter = self._instruments[MAIL.name]
        real = getattr(counter, "_real_instrument", counter)
        return real is not None and not isinstance(real, _NoOpCounter)

    def begin(self, side: str, protocol: str) -> None:
        """Let the series exist that alerts ask about, for sessions of this kind."""
        if protocol in self._begun or not self.enabled:
            return
        self._begun.add(protocol)
        for row, label_sets in _FROM_THE_START:
            for labels in label_sets:
                self._instruments[row.name].add(0, {names.SIDE: side, names.PROTOCOL_NAME: protocol, **labels})

    def session_opened(self, session: Session) -> None:
        """*session* has started."""
        if session.network_name is not None:
            self.begin(session.side.value, session.network_name)
        self._add(ACTIVE, 1, session, STATE, "unauthenticated")

    def session_state(self, session: Session, authenticated: bool) -> None:
        """A login was accepted in *session*, or ended."""
        to, by = ("authenticated", "unauthenticated")[:: 1 if authenticated else -1]
        self._add(ACTIVE, -1, session, STATE, by)
        self._add(ACTIVE, 1, session, STATE, to)

    def session_ended(self, session: Session, ending: Mapping[str, Value]) -> None:
        """*session* has ended, with these facts."""
        self._add(ACTIVE, -1, session, STATE, "unauthenticated")
        self._add(RECEIVED, ending[names.RECEIVED_SIZE], session)
        self._add(SENT, ending[names.SENT_SIZE], session)
        labels = self._of(session) | {key: ending[key] for key in DURATION.labels if key in ending}
        self._instruments[DURATION.name].record(ending[names.DURATION], labels)

    def event_dropped(self, session: Session, reason: str) -> None:
        """An event of *session* was counted but not recorded."""
        self._add(DROPPED, 1, session, DROP_REASON, reason)

    def event(self, session: Session, event: Event) -> None:
        """*event* happened in *session*."""
        if isinstance(event, Command):
            if event.duration is not None:
                labels = self._with(session, COMMAND_NAME, event.command, REPLY_STATUS, event.reply_status)
                self._instruments[COMMANDS.name].record(event.duration, labels)
        elif isinstance(event, MailReception | MailRejection):
            kind = event.name.rpartition(".")[2]
            self._add(MAIL, 1, session, MAIL_TYPE, kind, REPLY_STATUS, event.reply_status)
        elif isinstance(event, AuthSuccess | AuthFailure):
            error = event.error_type if isinstance(event, AuthFailure) else None
            self._add(
                ATTEMPTS,
                1,
                session,
                *(MECHANISM, event.mechanism, names.ERROR_TYPE, error, names.TLS_MODE, session.tls_mode),
            )

    def _add(self, row: Instrument, amount: Any, session: Session, *labels: object) -> None:
        self._instruments[row.name].add(amount, self._with(session, *labels))

    def _with(self, session: Session, *labels: object) -> dict[str, Value]:
        """These labels (key, value, key, value; a value of None is none) and the common ones, made once."""
        key = (session.side, session.network_name, *labels)
        found = self._labels.get(key)
        if found is None:
            pairs: Iterable[tuple[Any, Any]] = zip(labels[::2], labels[1::2], strict=True)
            found = self._of(session) | {name: value for name, value in pairs if value is not None}
            self._labels[key] = found
        return found

    def _of(self, session: Session) -> dict[str, Value]:
        common: dict[str, Value] = {names.SIDE: session.side.value}
        if session.network_name is not None:
            common[names.PROTOCOL_NAME] = session.network_name
        return common
