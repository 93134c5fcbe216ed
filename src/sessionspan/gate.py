"""The gate: all telemetry of a session passes here, so a reader can trust one page.

Quota, metrics, privacy classes, identity, the log record, the copy on the span: in this order, for every event.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from opentelemetry._logs import SeverityNumber
from opentelemetry.context import Context

from sessionspan import names
from sessionspan.activity_log import activity_log
from sessionspan.display import display_line
from sessionspan.emitting import is_sampled
from sessionspan.events import Event, SessionEnd, Value
from sessionspan.facts import OPERATION, Facts, operation_in_context
from sessionspan.metrics import Kind, Metrics
from sessionspan.redaction import policy
from sessionspan.scope import Scope
from sessionspan.settings import settings
from sessionspan.span_events import SpanEvents
from sessionspan.tally import Tally

if TYPE_CHECKING:
    from opentelemetry.trace import Span, SpanContext

    from sessionspan.emitting import Emitter


class Gate:
    """The gate of one session, from the start of its span to its end."""

    __slots__ = (
        "_activities",
        "_context",
        "_emitter",
        "_facts",
        "_kind",
        "_level",
        "_metrics",
        "_on_span",
        "_samples",
        "_views",
        "_where",
        "tally",
    )

    def __init__(self, scope: Scope, kind: Kind, facts: Facts, span: Span, context: Context, level: str) -> None:
        self._kind = kind
        self._facts = facts
        self._where = span.get_span_context()
        self._context = context
        chosen = settings()
        self.tally = Tally(chosen.max_events)
        self._emitter = scope.emitter() if chosen.events != "span" else None
        self._level = level
        self._views = policy().at(level)
        self._metrics: Metrics | None = None
        if scope.metrics is not None and scope.metrics.enabled:
            self._metrics = scope.metrics
            self._metrics.session_opened(kind)
        self._activities = activity_log()
        self._on_span: SpanEvents | None = None
        if span.is_recording() and chosen.events != "logs":
            self._on_span = SpanEvents(span, facts.values, self._views.spans)
        sampled = self._on_span is not None or is_sampled(self._where)
        self._samples = "all" if sampled else chosen.unsampled  # which events go to the logs

    @property
    def listened_to(self) -> bool:
        """Whether anybody takes what the session says: its span records, logs, metrics or activities are taken."""
        return (
            self._facts.recorded
            or self._metrics is not None
            or self._activities is not None
            or self._emitter is not None
        )

    def record(self, event: Event, timestamp: int) -> None:
        """*event* happened at *timestamp* (ns)."""
        tally, metrics = self.tally, self._metrics
        tally.count(event)
        if metrics is not None:
            metrics.event(self._kind, event, self._facts.values[names.TLS_MODE])
        if self._level == "off" and not event.vital:
            return
        if not tally.admits(event):
            if metrics is not None:
                metrics.event_dropped(self._kind, "session_cap")
            return
        if self._emitter is not None and (self._samples == "all" or (self._samples == "audit" and event.audit)):
            self._emit(self._emitter, event, timestamp)
        if self._activities is not None:
            self._activities.tell(event, timestamp, self._facts, self._views.logs)
        if self._on_span is not None:
            self._on_span.add(event, timestamp, self._facts.auth_sequence)

    def as_facts(self, event: Event) -> dict[str, Value]:
        """What *event* teaches about the session, in the form in which it may stand on its span."""
        return self._views.spans.redact(event)

    def user_changed(self) -> None:
        """A login was accepted, or has ended."""
        if self._metrics is not None:
            self._metrics.session_state(self._kind, self._facts.authenticated)

    def counts(self) -> dict[str, Value]:
        """The counts of the session, with the one event that is still to come: its end."""
        found = self.tally.attributes()
        found[names.EVENT_COUNT] = self.tally.events + 1
        if self._on_span is not None:
            found[names.EVENT_UNSPANNED_COUNT] = self._on_span.missing_after_one_more()
        return found

    def ended(self, facts: dict[str, Value]) -> None:
        """The session has ended with these *facts*, and its span is about to."""
        if self._metrics is not None:
            self._metrics.session_ended(self._kind, facts)

    def close(self) -> None:
        """Nothing passes any more; what was kept for the span goes onto it."""
        if self._on_span is not None:
            self._on_span.flush()
            self._on_span = None
        self._context = Context()  # which holds the session, which holds this gate

    def _emit(self, emitter: Emitter, event: Event, timestamp: int) -> None:
        identity = self._facts.identity
        if self._kind.side == "client":
            _move_to_operation(identity)
        emit(emitter, event, self._views.logs.redact(event, identity), self._where, self._context, timestamp)


def emit(
    emitter: Emitter,
    event: Event,
    attributes: dict[str, Value],
    where: SpanContext,
    context: Context,
    timestamp: int,
) -> None:
    """Export *event* of *timestamp* (ns) as a log record with *attributes*, which have passed the rules."""
    failed = type(event) is SessionEnd and names.ERROR_TYPE in attributes
    emitter.emit(
        event.name,
        timestamp,
        SeverityNumber.ERROR if failed else event.severity,
        display_line(event, attributes),
        attributes,
        where,
        context,
    )


def _move_to_operation(identity: dict[str, Value]) -> None:
    """A connection may be used by another operation than the one that opened it: its events are of that one."""
    operation = operation_in_context()
    if operation and operation[names.OPERATION_ID] != identity.get(names.OPERATION_ID):
        for key in OPERATION:
            identity.pop(key, None)
        identity.update(operation)
