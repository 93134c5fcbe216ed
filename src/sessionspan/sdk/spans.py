"""Finished attributes and events for the SDK's span: what passed our gate is not cleaned and copied once more.

``Span.set_attributes`` and ``Span.add_event`` clean each value, which costs more than all that the gate does with
it; ours are scalars and tuples of strings, bounded in number and size already. Processors and exporters get what
they always get: attributes in the span's own `BoundedAttributes`, and each `Event` with a mapping of its own.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from opentelemetry.attributes import BoundedAttributes
from opentelemetry.sdk.trace import (
    ConcurrentMultiSpanProcessor,
    Event,
    Span,
    SpanProcessor,
    SynchronousMultiSpanProcessor,
    Tracer,
)
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SimpleSpanProcessor
from opentelemetry.sdk.trace.sampling import ParentBased, ParentBasedTraceIdRatio, StaticSampler, TraceIdRatioBased

from sessionspan.sdk.limits import permit
from sessionspan.sdk.memory import Events, Lent, lend, lighten

if TYPE_CHECKING:
    from sessionspan.events import Value
    from sessionspan.span_writer import SpanWriter


def takes_finished(span: Any) -> bool:
    """Whether *span* is of the kind that this module knows, and limits attributes no further than we do."""
    kind = type(span)
    if not isinstance(span, Span) or kind.set_attributes is not Span.set_attributes:
        return False
    if kind._add_event is not Span._add_event:
        return False
    return type(span._attributes) in (BoundedAttributes, Lent) and _permit(span._limits)


@functools.lru_cache(maxsize=16)
def _permit(limits: Any) -> bool:
    """Whether nothing of ours exceeds *limits*, which all spans of a provider share."""
    return permit(
        limits,
        counts=("max_event_attributes", "max_span_attributes"),
        lengths=("max_attribute_length", "max_span_attribute_length"),
    )


def nobody_looks(tracer: Any) -> bool:
    """Whether no sampler and no processor of *tracer* but the SDK's own, which do not, can look at attributes."""
    return (
        type(tracer) is Tracer
        and type(tracer.span_processor) in _MANY
        and type(tracer.sampler).__hash__ is object.__hash__  # so it can be asked once
        and _is_blind_once(tracer.sampler)
        and all(_lets_pass(processor) for processor in tracer.span_processor._span_processors)
    )


def _is_blind(sampler: Any) -> bool:
    """Whether *sampler* decides by the parent, or by the trace's id, and hands attributes on as they are."""
    if isinstance(sampler, ParentBased):
        return type(sampler) in _BY_PARENT and all(map(_is_blind, vars(sampler).values()))
    return type(sampler) in _BLIND


_is_blind_once: Final = functools.lru_cache(maxsize=16)(_is_blind)
_BY_PARENT: Final = (ParentBased, ParentBasedTraceIdRatio)
_BLIND: Final = (StaticSampler, TraceIdRatioBased)


def _lets_pass(processor: Any) -> bool:
    """Whether *processor* does nothing when a span starts."""
    return getattr(processor.on_start, "__func__", None) in _NOTHING


_MANY: Final = (SynchronousMultiSpanProcessor, ConcurrentMultiSpanProcessor)
_NOTHING: Final = (SpanProcessor.on_start, BatchSpanProcessor.on_start, SimpleSpanProcessor.on_start)


class _Writer:
    """Writes onto spans that take what is finished."""

    def begin(self, span: Any, attributes: dict[str, Value], *, late: bool) -> None:
        """See `sessionspan.span_writer.SpanWriter`."""
        lighten(span)
        if late:
            lend(span, attributes)

    def set(self, span: Any, attributes: Mapping[str, Value]) -> bool:
        """See `sessionspan.span_writer.SpanWriter`."""
        kept = span._attributes
        with span._lock:
            if span._end_time is None and (
                kept.maxlen is None or len(kept._dict) + len(attributes) <= kept.maxlen
            ):
                with kept._lock:
                    kept._dict.update(attributes)
                return True
        span.set_attributes(attributes)  # which says what is wrong, or leaves the oldest ones out
        return bool(span.is_recording())

    def add(self, span: Any, name: str, attributes: dict[str, Value], timestamp: int) -> None:
        """See `sessionspan.span_writer.SpanWriter`."""
        events = span._events
        if type(events) is Events:
            with span._lock:
                if span._end_time is None:
                    events.add(name, attributes, timestamp)
                    return
        span._add_event(Event(name, attributes, timestamp))  # which says what is wrong


WRITER: Final[SpanWriter] = _Writer()
