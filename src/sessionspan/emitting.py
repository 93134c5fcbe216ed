"""How an event becomes a log record: by the logger's API, or by a shorter way that the SDK leaves open.

The API's way cleans and copies the attributes of every record, which the gate has done already. Where the logger
is the SDK's own, `sessionspan.sdk_records` knows how to hand over a finished record. It is loaded by name, and
only when the application itself has loaded the SDK: the core imports none.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Protocol

from sessionspan.guard import guard

if TYPE_CHECKING:
    from opentelemetry._logs import Logger, SeverityNumber
    from opentelemetry.context import Context
    from opentelemetry.trace import Span

    from sessionspan.events import Value

_SDK = "opentelemetry.sdk."


class Emitter(Protocol):
    """Takes what the gate let out, for one logger."""

    def emit(
        self,
        event_name: str,
        timestamp: int,
        severity: SeverityNumber,
        body: str,
        attributes: dict[str, Value],
        span: Span,
        context: Context,
    ) -> None:
        """Emit one event of *timestamp* (ns) in *context*, whose span is *span*; *attributes* are given away."""


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
        span: Span,
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
    shorter: Emitter | None = None
    if type(logger).__module__.startswith(_SDK):
        shorter = _of_the_sdk(logger)
    return shorter if shorter is not None else PlainEmitter(logger)


@guard
def _of_the_sdk(logger: Logger) -> Emitter | None:
    found: Emitter | None = importlib.import_module("sessionspan.sdk_records").emitter_of(logger)
    return found
