"""The copy of a session's events on its span, within what a span can hold.

A span holds 128 events by default and the SDK drops the oldest, so a long session would lose its
connection and its login. Here the first ones go onto the span at once, the last ones wait as plain
tuples until the end, and those in between are counted.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Mapping
from typing import Final

from opentelemetry.trace import Span

from sessionspan import names
from sessionspan.events import Event, Value
from sessionspan.redaction import View
from sessionspan.span_writer import writer_of

FIRST: Final = 32
LAST: Final = 90
_SDK_LIMIT: Final = 128  # the default of OTEL_SPAN_EVENT_COUNT_LIMIT
# A later login changes who it was, and so this is told even where the span says the same.
_ALWAYS: Final = (names.USER_NAME, names.USER_HASH)


class SpanEvents:
    """The first and the last events of a session, on its span."""

    __slots__ = ("_first_left", "_last", "_last_limit", "_on_span", "_span", "_unspanned", "_view", "_writer")

    def __init__(self, span: Span, on_span: Mapping[str, Value], view: View) -> None:
        limit = _event_limit(span)
        first = min(FIRST, limit // 2)
        self._span = span
        self._writer = writer_of(span)
        self._view = view
        self._on_span = on_span  # the span's own attributes, as they become known
        self._first_left = first
        self._last_limit = min(LAST, limit - first)
        self._last: deque[tuple[Event, int, int | None]] | None = None  # most sessions end before they need it
        self._unspanned = 0

    def add(self, event: Event, timestamp: int, auth_sequence: int | None) -> None:
        """Put *event* of *timestamp* (ns) on the span, or keep it for `flush`."""
        if not event.spanned:
            self._unspanned += 1
            return
        if self._first_left > 0:
            self._first_left -= 1
            self._put(event, timestamp, auth_sequence)
            return
        if self._last is None:
            self._last = deque(maxlen=self._last_limit)
        if len(self._last) == self._last_limit:
            self._unspanned += 1
        self._last.append((event, timestamp, auth_sequence))

    def missing_after_one_more(self) -> int:
        """How many events will be in the logs but not on the span, once one more was added."""
        full = self._first_left == 0 and len(self._last or ()) == self._last_limit
        return self._unspanned + full

    def flush(self) -> None:
        """Put the kept events on the span, which is about to end."""
        while self._last:
            self._put(*self._last.popleft())

    def _put(self, event: Event, timestamp: int, auth_sequence: int | None) -> None:
        attributes: dict[str, Value] = {} if auth_sequence is None else {names.AUTH_SEQUENCE: auth_sequence}
        self._view.redact(event, attributes)
        if not self._on_span.keys().isdisjoint(attributes):
            # What stands on the span already is not repeated.
            for key in [key for key, value in attributes.items() if self._on_span.get(key) == value]:
                if key not in _ALWAYS:
                    del attributes[key]
        # It needs no LoggerProvider, so an application that has set up nothing but tracing sees its events too.
        self._writer.add(self._span, event.name, attributes, timestamp)


def _event_limit(span: Span) -> int:
    """How many events *span* holds: the SDK's own figure, else what its environment variable says."""
    limits = getattr(span, "_limits", None)  # private, so only if it is there
    found = getattr(limits, "max_events", _SDK_LIMIT) if limits is not None else _from_environment()
    return FIRST + LAST if found is None else max(0, int(found))


def _from_environment() -> int | None:
    text = os.environ.get("OTEL_SPAN_EVENT_COUNT_LIMIT", str(_SDK_LIMIT)).strip()
    return int(text) if text.isdigit() else None
