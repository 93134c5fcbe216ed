"""Finished log records for the SDK's logger: what passed our gate is not cleaned and copied once more.

``Logger.emit`` takes a `ReadWriteLogRecord` as it is. The SDK's own constructor of it puts the attributes into
a `BoundedAttributes`, which costs half of an emit; ours are scalars and tuples of strings, bounded in number and
size already. Processors and exporters get what they always get: a record whose attributes are a dict of its own.
"""

from __future__ import annotations

from time import time_ns
from typing import TYPE_CHECKING, Any

from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.context import Context
from opentelemetry.sdk._logs import Logger, ReadWriteLogRecord
from opentelemetry.sdk.resources import Resource
from opentelemetry.trace import TraceFlags

from sessionspan.sdk.limits import permit

if TYPE_CHECKING:
    from opentelemetry.trace import SpanContext

    from sessionspan.emitting import Emitter
    from sessionspan.events import Value


def emitter_of(logger: Any) -> Emitter | None:
    """The emitter for *logger*; None when it is not of the kind that this module knows.

    So also where the environment limits attributes further than we do: then the SDK shall do it.
    """
    if type(logger) is not Logger:
        return None
    emitter = _Emitter(logger)
    return emitter if emitter.limits_permit else None


class _Emitter:
    """Emits finished records by one logger."""

    __slots__ = ("_limits", "_logger", "_resource", "_resource_of", "_scope")

    def __init__(self, logger: Logger) -> None:
        self._logger = logger
        self._take_resource()
        # One record made by the SDK shows what this version of it puts beside the attributes.
        made = ReadWriteLogRecord._from_api_log_record(
            record=LogRecord(context=Context()),
            resource=self._resource,
            instrumentation_scope=logger._instrumentation_scope,
            **_limits_of(logger),
        )
        self._scope = made.instrumentation_scope
        self._limits = made.limits

    def _take_resource(self) -> None:
        self._resource_of = self._logger.resource
        self._resource: Resource = _HashedOnce(self._resource_of.attributes, self._resource_of.schema_url)

    @property
    def limits_permit(self) -> bool:
        """Whether nothing of ours exceeds the limits that the SDK has been given."""
        return permit(
            self._limits,
            counts=("max_log_record_attributes", "max_attributes"),
            lengths=("max_log_record_attribute_length", "max_attribute_length"),
        )

    def emit(
        self,
        event_name: str,
        timestamp: int,
        severity: SeverityNumber,
        body: str,
        attributes: dict[str, Value],
        where: SpanContext,
        context: Context,
    ) -> None:
        """See `sessionspan.emitting.Emitter`."""
        if self._logger.resource is not self._resource_of:  # this process is a fork, another service.instance.id
            self._take_resource()
        record = _Record(
            timestamp,
            time_ns(),
            where[0],  # the fields of a tuple, since each of its properties is a call
            where[1],
            where[3],
            severity,
            body,
            attributes,
            event_name,
            context,
        )
        finished: Any = _Finished(record, self._resource, self._scope, self._limits)
        self._logger.emit(finished)


class _Record(LogRecord):
    """A log record that its processor copies cheaply: the batch processor makes a shallow copy of each."""

    def __init__(
        self,
        timestamp: Any,
        observed_timestamp: Any,
        trace_id: Any,
        span_id: Any,
        trace_flags: Any,
        severity: Any,
        body: Any,
        attributes: Any,
        event_name: Any,
        context: Any,
        severity_text: Any = None,
    ) -> None:
        self.timestamp = timestamp
        self.observed_timestamp = observed_timestamp
        self.trace_id = trace_id
        self.span_id = span_id
        self.trace_flags = trace_flags
        self.severity_number = severity
        self.severity_text = severity_text
        self.body = body
        self.attributes = attributes
        self.event_name = event_name
        self.context = context

    def __copy__(self) -> _Record:
        # Field by field, without a dictionary for each of the two; a processor before may have changed some.
        return _Record(
            self.timestamp,
            self.observed_timestamp,
            self.trace_id,
            self.span_id,
            self.trace_flags,
            self.severity_number,
            self.body,
            self.attributes,
            self.event_name,
            self.context,
            self.severity_text,
        )


def _leave_the_rest_to_the_class() -> None:
    """What a record of this version of the API has besides (an exception), it has on our class."""
    ours = vars(_Record(0, 0, 0, 0, TraceFlags(), SeverityNumber.INFO, "", None, "", Context()))
    for name, value in vars(LogRecord(context=Context())).items():
        if name not in ours:
            setattr(_Record, name, value)


_leave_the_rest_to_the_class()


class _Finished(ReadWriteLogRecord):
    """A record whose attributes are clean."""

    def __init__(self, record: LogRecord, resource: Resource, scope: Any, limits: Any) -> None:
        self.log_record = record
        self.resource = resource
        self.instrumentation_scope = scope
        self.limits = limits


class _HashedOnce(Resource):
    """A resource that is hashed once: the SDK's own writes itself as JSON, for every record that is encoded."""

    _hash: int | None = None

    def __hash__(self) -> int:
        if self._hash is None:
            self._hash = super().__hash__()
        return self._hash


def _limits_of(logger: Any) -> dict[str, Any]:
    """The limits that *logger* was given, where this version of the SDK keeps them there."""
    found = getattr(logger, "_log_record_limits", None)
    return {"limits": found} if found is not None else {}
