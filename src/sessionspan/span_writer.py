"""How a span starts, and gets its attributes and events: by the API, or by a shorter way that the SDK leaves open.

The API's way cleans and copies what the gate has cleaned already. Where the span is the SDK's own,
`sessionspan.sdk.spans` knows how to hand over what is finished. It is loaded by name, and only when the
application itself has loaded the SDK: the core imports none.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, Protocol

from opentelemetry.trace import ProxyTracer

from sessionspan import sdk
from sessionspan.guard import guard

if TYPE_CHECKING:
    from opentelemetry.trace import Span, Tracer

    from sessionspan.events import Value


class SpanWriter(Protocol):
    """Writes what passed the gate onto spans of one kind."""

    def begin(self, span: Span, attributes: dict[str, Value], *, late: bool) -> None:
        """*span* has started and will be open for long; it has *attributes*, or gets them now if that is *late*.

        Late ones are lent: the dictionary changes with what is set, and neither side copies it until it must.
        """

    def set(self, span: Span, attributes: Mapping[str, Value]) -> bool:
        """Set *attributes* on *span*; False when it has ended, and what it was lent may not change any more."""

    def add(self, span: Span, name: str, attributes: dict[str, Value], timestamp: int) -> None:
        """Add an event of *timestamp* (ns) to *span*; *attributes* are given away."""


class _ByAPI:
    """Writes by the API, onto whatever span there is."""

    def begin(self, span: Span, attributes: dict[str, Value], *, late: bool) -> None:
        if late:
            span.set_attributes(attributes)

    def set(self, span: Span, attributes: Mapping[str, Value]) -> bool:
        span.set_attributes(attributes)
        return True

    def add(self, span: Span, name: str, attributes: dict[str, Value], timestamp: int) -> None:
        span.add_event(name, attributes, timestamp)


BY_API: Final = _ByAPI()


def start(tracer: Tracer, name: str, attributes: dict[str, Value], **how: Any) -> tuple[Span, SpanWriter]:
    """Start a span of *tracer* that has *attributes*, and say who writes onto it; *how* is for ``start_span``."""
    late = bool(_nobody_looks(tracer))
    span = tracer.start_span(name, attributes=None if late else attributes, **how)
    writer = writer_of(span)
    writer.begin(span, attributes, late=late)
    return span, writer


@guard
def _nobody_looks(tracer: Any) -> bool:
    """Whether nobody looks at a span's attributes while it starts, so that they can be given to it finished."""
    behind: Tracer = tracer._tracer if isinstance(tracer, ProxyTracer) else tracer
    sdk_spans = sdk.knowing(type(behind), "sessionspan.sdk.spans")
    return sdk_spans is not None and bool(sdk_spans.nobody_looks(behind))


def writer_of(span: Span) -> SpanWriter:
    """The cheapest writer for *span* that says the same as the API's."""
    return _of_the_sdk(span) or BY_API


@guard
def _of_the_sdk(span: Span) -> SpanWriter | None:
    sdk_spans = sdk.knowing(type(span), "sessionspan.sdk.spans")
    return sdk_spans.WRITER if sdk_spans is not None and sdk_spans.takes_finished(span) else None
