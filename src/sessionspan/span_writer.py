"""How attributes and events get onto a span: by the API, or by a shorter way that the SDK leaves open.

The API's way cleans and copies what the gate has cleaned already. Where the span is the SDK's own,
`sessionspan.sdk.spans` knows how to hand over what is finished. It is loaded by name, and only when the
application itself has loaded the SDK: the core imports none.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final, Protocol

from sessionspan import sdk
from sessionspan.guard import guard

if TYPE_CHECKING:
    from opentelemetry.trace import Span

    from sessionspan.events import Value


class SpanWriter(Protocol):
    """Writes what passed the gate onto spans of one kind."""

    def begin(self, span: Span, attributes: dict[str, Value]) -> None:
        """*span* has started, with *attributes*, and will be open for long.

        The dictionary is lent, and changes with what is set: neither side has a copy until it needs one.
        """

    def set(self, span: Span, attributes: Mapping[str, Value]) -> None:
        """Set *attributes* on *span*."""

    def add(self, span: Span, name: str, attributes: dict[str, Value], timestamp: int) -> None:
        """Add an event of *timestamp* (ns) to *span*; *attributes* are given away."""


class _ByAPI:
    """Writes by the API, onto whatever span there is."""

    def begin(self, span: Span, attributes: dict[str, Value]) -> None:
        pass

    def set(self, span: Span, attributes: Mapping[str, Value]) -> None:
        span.set_attributes(attributes)

    def add(self, span: Span, name: str, attributes: dict[str, Value], timestamp: int) -> None:
        span.add_event(name, attributes, timestamp)


BY_API: Final = _ByAPI()


def writer_of(span: Span) -> SpanWriter:
    """The cheapest writer for *span* that says the same as the API's."""
    return _of_the_sdk(span) or BY_API


@guard
def _of_the_sdk(span: Span) -> SpanWriter | None:
    sdk_spans = sdk.knowing(type(span), "sessionspan.sdk.spans")
    return sdk_spans.WRITER if sdk_spans is not None and sdk_spans.takes_finished(span) else None
