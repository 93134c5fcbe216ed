"""The gate: all telemetry of a session passes here, so a reader can trust one page.

Quota, metrics, privacy classes, identity, the log record, the copy on the span: in this order, for every event.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from opentelemetry._logs import SeverityNumber

from sessionspan import names
from sessionspan.events import Event, SessionEnd, Value
from sessionspan.facts import Facts
from sessionspan.metrics import Kind, Metrics
from sessionspan.redaction import display_line, policy
from sessionspan.scope import Scope, is_enabled
from sessionspan.settings import settings
from sessionspan.span_events import SpanEvents
from sessionspan.tally import Tally

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.trace import Span


class Gate:
    """The gate of one session, from the start of its span to its end."""

    __slots__ = (
        "_context",
        "_facts",
        "_kind",
        "_logger",
        "_metrics",
        "_on_span",
        "_settings",
        "_span",
        "_tally",
    )

    def __init__(self, scope: Scope, kind: Kind, facts: Facts, tally: Tally, span: Span, context: Context) -> None:
        self._kind = kind
        self._facts = facts
        self._tally = tally
        self._span = span
        self._context = context
        self._settings = settings()
        self._logger = scope.logger if self._settings.events != "span" else None
        self._metrics: Metrics | None = None
        if scope.metrics is not None and scope.metrics.enabled:
            self._metrics = scope.metrics
            self._metrics.session_opened(kind)
        self._on_span: SpanEvents | None = None
        if span.is_recording() and self._settings.events != "logs":
            self._on_span = SpanEvents(span, facts.values)

    @property
    def listened_to(self) -> bool:
        """Whether anybody takes what the session says: its span records, logs or metrics are taken."""
        return self._span.is_recording() or self._metrics is not None or is_enabled(self._logger)

    def record(self, event: Event, timestamp: int) -> None:
        """*event* happened at *timestamp* (ns)."""
        self._tally.count(event)
        if self._metrics is not None:
            self._metrics.event(self._kind, event, self._facts.values[names.TLS_MODE])
        if self._settings.capture == "off" and not event.vital:
            return
        if not self._tally.admits(event):
            if self._metrics is not None:
                self._metrics.event_dropped(self._kind, "session_cap")
            return
        if is_enabled(self._logger) and self._samples(event):
            self._emit(event, timestamp)
        if self._on_span is not None:
            self._on_span.add(event, timestamp, self._facts.auth_sequence)

    def user_changed(self) -> None:
        """A login was accepted, or has ended."""
        if self._metrics is not None:
            self._metrics.session_state(self._kind, self._facts.authenticated)

    def counts(self) -> dict[str, Value]:
        """The counts of the session, with the one event that is still to come: its end."""
        found = self._tally.attributes()
        found[names.EVENT_COUNT] = self._tally.events + 1
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

    def _samples(self, event: Event) -> bool:
        """Whether *event* goes to the logs though the span may not be sampled (``SESSIONSPAN_UNSAMPLED``)."""
        if self._on_span is not None or self._settings.unsampled == "all":
            return True
        # No TracerProvider at all gives an invalid context: that is not unsampled.
        context = self._span.get_span_context()
        if not context.is_valid or context.trace_flags.sampled:
            return True
        return self._settings.unsampled == "audit" and event.audit

    def _emit(self, event: Event, timestamp: int) -> None:
        assert self._logger is not None
        attributes = dict(self._facts.identity)
        attributes.update(policy().logs.redact(event))
        failed = type(event) is SessionEnd and names.ERROR_TYPE in attributes
        self._logger.emit(
            timestamp=timestamp,  # the SDK does not default it
            context=self._context,
            severity_number=SeverityNumber.ERROR if failed else event.severity,
            body=display_line(event, attributes),
            attributes=attributes,
            event_name=event.name,
        )
