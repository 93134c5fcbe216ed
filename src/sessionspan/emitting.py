"""How an event becomes a log record: by the logger's API, or by a shorter way that the SDK leaves open.

The API's way cleans and copies the attributes of every record, which the gate has done already. Where the logger
is the SDK's own, `sessionspan.sdk.records` knows how to hand over a finished record. It is loaded by name, and
only when the application itself has loaded the SDK: the core imports none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from opentelemetry.trace import TraceFlags

from sessionspan import sdk
from sessionspan.guard import guard

if TYPE_CHECKING:
    from opentelemetry._logs import Logger, SeverityNumber
    from opentelemetry.context import Context
    from opentelemetry.trace import SpanContext

    from sessionspan.events import Value


def is_sampled(where: SpanContext) -> bool:
    """Whether a span is; no TracerProvider at all gives an invalid context, and that is not unsampled."""
    return bool(where.trace_flags & TraceFlags.SAMPLED) or not (where.trace_id and where.span_id)


class Emitter(Protocol):
    """Takes what the gate let out, for one logger."""

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
        """Emit one event of *timestamp* (ns) in *context*, whose span is *where*; *attributes* are given away."""


class PlainEmitter:
    """Emits by the API, for whatever logger there is."""

    __slots__ = ("_logger",)

    def __init__(self, logger: Logger) -> None:
        self._logger = logger

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
        """See `Emitter`."""
        self._logger.emit(
            timestamp=timestamp,  # the SDK does not default it
            context=context,
            severity_number=severity,
            body=body,
            attributes=attributes,
            event_name=event_name,
        )


def emitter_of(logger: Logger) -> Emitter:
    """The cheapest emitter for *logger* (no proxy) that says the same as the API's."""
    shorter = _of_the_sdk(logger)
    return shorter if shorter is not None else PlainEmitter(logger)


@guard
def _of_the_sdk(logger: Logger) -> Emitter | None:
    sdk_records = sdk.knowing(type(logger), "sessionspan.sdk.records")
    found: Emitter | None = sdk_records.emitter_of(logger) if sdk_records is not None else None
    return found
