"""The recorder kit: what an instrumentation said, in memory, for tests of instrumentations and of applications.

`Recorder` is a pair of providers to give to ``instrument()``. It waits instead of sleeping: a server ends a
session after its client has gone.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from opentelemetry.sdk._logs import LoggerProvider, LogRecordProcessor, ReadWriteLogRecord
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.trace import format_span_id, format_trace_id

from sessionspan import names


class RecordedEvent:
    """One event as a log backend gets it."""

    def __init__(self, record: ReadWriteLogRecord) -> None:
        log = record.log_record
        self.name: str = (log.event_name or "").removeprefix("sessionspan.")
        self.attributes: Mapping[str, Any] = dict(log.attributes or {})
        self.body: str = str(log.body) if log.body is not None else ""
        self.timestamp: int = log.timestamp or 0
        self.severity = log.severity_number
        self.trace_id = format_trace_id(log.trace_id or 0)
        self.span_id = format_span_id(log.span_id or 0)
        self.session_id = str(self.attributes.get(names.SESSION_ID, ""))

    def __repr__(self) -> str:
        return f"<{self.body or self.name}>"

    def __getitem__(self, key: str) -> Any:
        return self.attributes[key]


class Recorder(SpanProcessor, LogRecordProcessor):
    """Keeps all spans, events and plain log records."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self.spans: list[ReadableSpan] = []
        self.events: list[RecordedEvent] = []
        self.logs: list[ReadWriteLogRecord] = []  # records without an event name
        resource = Resource({"service.name": "recorded"})
        self.tracer_provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        self.tracer_provider.add_span_processor(self)
        self.logger_provider = LoggerProvider(resource=resource, shutdown_on_exit=False)
        self.logger_provider.add_log_record_processor(self)
        self._reader = InMemoryMetricReader()
        self.meter_provider = MeterProvider([self._reader], resource, shutdown_on_exit=False)

    # What the SDK tells.

    def on_end(self, span: ReadableSpan) -> None:
        """*span* has ended."""
        with self._changed:
            self.spans.append(span)
            self._changed.notify_all()

    def on_emit(self, log_record: ReadWriteLogRecord) -> None:
        """A log record was emitted, an event or a plain one."""
        with self._changed:
            if log_record.log_record.event_name:
                self.events.append(RecordedEvent(log_record))
            else:
                self.logs.append(log_record)
            self._changed.notify_all()

    def shutdown(self) -> None:
        """Nothing to do."""

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        """Nothing is queued."""
        return True

    # What a test asks.

    @property
    def sessions(self) -> list[ReadableSpan]:
        """The session spans, in the order of their ends."""
        return [span for span in self.spans if names.SESSION_ID in (span.attributes or {})]

    def wait_until(self, condition: Callable[[], object], what: str, timeout: float = 10.0) -> None:
        """Wait until *condition* holds; raise TimeoutError with what was recorded when it does not."""
        deadline = time.monotonic() + timeout
        with self._changed:
            while not condition():
                left = deadline - time.monotonic()
                if left <= 0:
                    raise TimeoutError(f"no {what} within {timeout} s; recorded: {self.events}")
                self._changed.wait(min(left, 0.5))

    def wait_for_sessions(self, count: int = 1, timeout: float = 10.0) -> list[ReadableSpan]:
        """Wait until *count* sessions have ended, and return all that have."""
        self.wait_until(lambda: len(self.sessions) >= count, f"{count} ended sessions", timeout)
        return self.sessions

    def wait_for_session(self, timeout: float = 10.0) -> ReadableSpan:
        """Wait for the one session of a test."""
        (session,) = self.wait_for_sessions(1, timeout)
        return session

    def wait_for_event(self, name: str, timeout: float = 10.0) -> RecordedEvent:
        """Wait for the first event called *name* (without ``sessionspan.``)."""
        self.wait_until(lambda: self.named(name), f"event {name}", timeout)
        return self.named(name)[0]

    def named(self, name: str) -> list[RecordedEvent]:
        """The events called *name* (without ``sessionspan.``)."""
        return [event for event in self.events if event.name == name]

    def of(self, session: ReadableSpan) -> list[RecordedEvent]:
        """The events of *session*."""
        wanted = (session.attributes or {}).get(names.SESSION_ID)
        return [event for event in self.events if event.session_id == wanted]

    def transcript(self, session: ReadableSpan | None = None) -> list[str]:
        """The events as short lines, without durations: ``command MAIL 250``, ``command STAT ok``."""
        return [_line(event) for event in (self.events if session is None else self.of(session))]

    def points(self, name: str) -> dict[frozenset[tuple[str, Any]], float]:
        """The series of the metric *name*: labels to its value (of a histogram, how many were recorded)."""
        found: dict[frozenset[tuple[str, Any]], float] = {}
        data = self._reader.get_metrics_data()
        for resource in data.resource_metrics if data is not None else ():
            for scope in resource.scope_metrics:
                for metric in scope.metrics:
                    for point in metric.data.data_points if metric.name == name else ():
                        value = point.count if hasattr(point, "count") else point.value
                        found[frozenset((point.attributes or {}).items())] = value
        return found

    def clear(self) -> None:
        """Forget everything."""
        with self._changed:
            self.spans.clear()
            self.events.clear()
            self.logs.clear()

    def everything(self) -> str:
        """All that was recorded as one text, to search it for what must not be there."""
        parts: list[object] = []
        for span in self.spans:
            parts += [span.name, span.attributes, span.status.description]
            parts += [(event.name, dict(event.attributes or {})) for event in span.events]
        for event in self.events:
            parts += [event.name, event.body, event.attributes]
        for record in self.logs:
            parts += [record.log_record.body, dict(record.log_record.attributes or {})]
        return "\n".join(repr(part) for part in parts)


# The attributes that a line shows behind the event's name; POP3 and IMAP have no reply codes, but words.
_SHOWN: Sequence[tuple[str, Sequence[str]]] = (
    ("command", ("sessionspan.command.name", "sessionspan.reply.code", "sessionspan.reply.status")),
    ("auth.success", ("user.name",)),
    ("auth.failure", ("error.type",)),
    ("auth.end", ("user.name",)),
    ("mail.reception", ("sessionspan.mail.recipients",)),
    ("mail.rejection", ("sessionspan.mail.response.command", "sessionspan.reply.code")),
    ("store.message.open", ("sessionspan.store.mailbox", "sessionspan.mail.message.uid")),
    ("store.message.delete", ("sessionspan.store.mailbox", "sessionspan.mail.message.uid")),
    ("store.message.store", ("sessionspan.store.mailbox", "sessionspan.mail.message.uid")),
    ("tls.established", ("sessionspan.tls.mode",)),
    ("tls.failure", ("sessionspan.tls.mode",)),
    ("session.exception", ("exception.type",)),
)
_CLASSES = ("2xx", "3xx", "4xx", "5xx", "none")  # of reply codes, which are shown, and of no reply


def _line(event: RecordedEvent) -> str:
    words = [event.name]
    for key in dict(_SHOWN).get(event.name, ()):
        value = event.attributes.get(key)
        if value is not None and value not in _CLASSES:
            words.append(",".join(value) if isinstance(value, tuple) else str(value))
    return " ".join(words)
