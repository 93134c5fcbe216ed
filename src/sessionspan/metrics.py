"""The metrics of sessions: labels from closed sets only, whatever peers send; sampling does not touch them.

A client's address or a user as a label would be a series for each of them, which the SDK keeps for ever.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple

from opentelemetry.metrics import Counter, Histogram, MeterProvider, UpDownCounter, get_meter
from opentelemetry.metrics import NoOpCounter as _NoOpCounter

from sessionspan import names
from sessionspan.events import (
    AuthFailure,
    AuthSuccess,
    Command,
    DeviceCommandFailure,
    Event,
    MailReception,
    MailRejection,
    Value,
)
from sessionspan.events.keys import REPLY_STATUS
from sessionspan.tally import DEVICE_COMMANDS
from sessionspan.version import __version__

STATE: Final = "sessionspan.session.state"
MECHANISM: Final = "sessionspan.auth.mechanism"
COMMAND_NAME: Final = "sessionspan.command.name"
MAIL_TYPE: Final = "sessionspan.mail.type"
DROP_REASON: Final = "sessionspan.drop.reason"

DROP_REASONS: Final = ("session_cap", "queue_full", "too_large", "internal_error", "export_failed")


class Kind(NamedTuple):
    """The labels that all metrics of one session have."""

    side: str
    protocol: str | None  # as network.protocol.name has it; None for what is not of a network


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
    "From when the server takes a command to its reply, without waiting for the client; of a device, all of it.",
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
            {names.TLS_MODE: mode} | mechanism | error
            for mechanism in ({MECHANISM: "PLAIN"}, {MECHANISM: "LOGIN"}, {})  # USER and PASS have none
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
        self._begun: set[Kind] = set()

    @property
    def enabled(self) -> bool:
        """Whether anybody takes them; the API's proxies find a provider that is set up late."""
        counter = self._instruments[MAIL.name]
        real = getattr(counter, "_real_instrument", counter)
        return real is not None and not isinstance(real, _NoOpCounter)

    def session_opened(self, kind: Kind) -> None:
        """A session has started. With the first one of its kind the series begin that alerts ask about."""
        if kind not in self._begun:
            self._begun.add(kind)
            for row, label_sets in _FROM_THE_START:
                for labels in label_sets:
                    self._instruments[row.name].add(0, {**self._common(kind), **labels})
        self._add(ACTIVE, 1, kind, STATE, "unauthenticated")

    def session_state(self, kind: Kind, authenticated: bool) -> None:
        """A login was accepted in a session, or ended."""
        to, by = ("authenticated", "unauthenticated")[:: 1 if authenticated else -1]
        self._add(ACTIVE, -1, kind, STATE, by)
        self._add(ACTIVE, 1, kind, STATE, to)

    def session_ended(self, kind: Kind, facts: Mapping[str, Value]) -> None:
        """A session has ended with these *facts*."""
        self._add(ACTIVE, -1, kind, STATE, "unauthenticated")
        self._add(RECEIVED, facts[names.RECEIVED_SIZE], kind)
        self._add(SENT, facts[names.SENT_SIZE], kind)
        labels = self._common(kind) | {key: facts[key] for key in DURATION.labels if key in facts}
        self._instruments[DURATION.name].record(facts[names.DURATION], labels)

    def event_dropped(self, kind: Kind, reason: str) -> None:
        """An event was counted but not recorded."""
        self._add(DROPPED, 1, kind, DROP_REASON, reason)

    def event(self, kind: Kind, event: Event, tls_mode: Value) -> None:
        """*event* happened in a session that is encrypted as *tls_mode* says."""
        if isinstance(event, Command):
            if event.duration is not None:
                labels = self._labelled(kind, COMMAND_NAME, event.command, REPLY_STATUS, event.reply_status)
                self._instruments[COMMANDS.name].record(event.duration, labels)
        elif isinstance(event, MailReception | MailRejection):
            suffix = event.name.rpartition(".")[2]
            self._add(MAIL, 1, kind, MAIL_TYPE, suffix, REPLY_STATUS, event.reply_status)
        elif isinstance(event, AuthSuccess | AuthFailure):
            error = event.error_type if isinstance(event, AuthFailure) else None
            login = (MECHANISM, event.mechanism, names.ERROR_TYPE, error, names.TLS_MODE, tls_mode)
            self._add(ATTEMPTS, 1, kind, *login)

        elif isinstance(event, DEVICE_COMMANDS):
            status = "err" if isinstance(event, DeviceCommandFailure) else "ok"
            labels = self._labelled(kind, COMMAND_NAME, event.command, REPLY_STATUS, status)
            self._instruments[COMMANDS.name].record(event.duration, labels)

    def _add(self, row: Instrument, amount: Any, kind: Kind, *labels: object) -> None:
        self._instruments[row.name].add(amount, self._labelled(kind, *labels))

    def _labelled(self, kind: Kind, *labels: object) -> dict[str, Value]:
        """These labels (key, value, key, value; a value of None is none) and the common ones, made once."""
        key = (kind, *labels)
        found = self._labels.get(key)
        if found is None:
            pairs: Iterable[tuple[Any, Any]] = zip(labels[::2], labels[1::2], strict=True)
            found = self._common(kind) | {name: value for name, value in pairs if value is not None}
            self._labels[key] = found
        return found

    def _common(self, kind: Kind) -> dict[str, Value]:
        common: dict[str, Value] = {names.SIDE: kind.side}
        if kind.protocol is not None:
            common[names.PROTOCOL_NAME] = kind.protocol
        return common
