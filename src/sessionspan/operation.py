"""`operation`: a piece of the application's work around any number of sessions, as a span of its own.

Its ids go where the OpenTelemetry context goes, and onto the events of the sessions that are opened or used there.
They are never put into baggage, which leaves in the headers of HTTP requests.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from opentelemetry.context import attach, detach, get_current
from opentelemetry.trace import SpanKind, StatusCode, set_span_in_context

from sessionspan import names, own
from sessionspan.ending import type_name
from sessionspan.events import (
    Event,
    OperationFailure,
    OperationPlanned,
    OperationStart,
    OperationSuccess,
    Value,
)
from sessionspan.facts import in_operation
from sessionspan.gate import emit
from sessionspan.guard import guard
from sessionspan.ids import new_uuid
from sessionspan.levels import Subject, level_in_context
from sessionspan.redaction import LIST, clean, policy
from sessionspan.settings import settings
from sessionspan.span_events import SpanEvents

if TYPE_CHECKING:
    from opentelemetry.trace import Span

P = ParamSpec("P")
T = TypeVar("T")

_RAISED = "the operation raised"
_FAILED = "the operation said that it failed"


def _redacted(text: str) -> str:
    # Not at the top: programs without operations do not pay for the table of rules.
    from sessionspan.devices.secrets import Secrets

    return Secrets().redact(text)


class operation:
    """Do the block as one operation: a span called *name*, parent of the device sessions that are opened in it.

    ``with operation("interface_collection", commands=["show interface"], device_id=1, user_id=1) as op:``
    or ``async with``. *name* is of low cardinality; *commands* are those that the operation is going to send;
    *device_id* and *user_id* are the application's own ids, of any type. It succeeds when the block does, unless
    `failure` said otherwise; an exception that leaves the block is a failure and goes on.
    """

    def __init__(
        self,
        name: str,
        *,
        commands: Iterable[str] = (),
        device_id: object = None,
        user_id: object = None,
    ) -> None:
        self.name = name
        self.id = new_uuid()
        self.context = get_current()
        self._commands = [commands] if isinstance(commands, str) else list(commands)
        self._ids = {names.OPERATION_DEVICE_ID: device_id, names.OPERATION_USER_ID: user_id}
        self._facts: dict[str, Value] = {}
        self._summary: str | None = None
        self._failed = False
        self._span: Span | None = None
        self._events: SpanEvents | None = None

    def success(self, summary: str) -> None:
        """Say how it went, in words of yours (``Found 5 interfaces``), for when the block ends."""
        self._summary, self._failed = summary, False

    def failure(self, summary: str) -> None:
        """Say that it failed, in words of yours, though no exception leaves the block."""
        self._summary, self._failed = summary, True

    def bind(self, function: Callable[P, T]) -> Callable[P, T]:
        """*function* for another thread: what it does there is of this operation.

        The OpenTelemetry context does not go into a thread by itself. This is not needed where
        opentelemetry-instrumentation-threading is at work (``pip install 'sessionspan[netmiko]'``).
        """

        @functools.wraps(function)
        def bound(*args: P.args, **kwargs: P.kwargs) -> T:
            token = attach(self.context)
            try:
                return function(*args, **kwargs)
            finally:
                detach(token)

        return bound

    def __enter__(self) -> operation:
        self._started = time.monotonic()
        self._begin()
        self._token = attach(self.context)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        detach(self._token)
        self._end(error)

    async def __aenter__(self) -> operation:
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.__exit__(kind, error, trace)

    # How it does it.

    @guard
    def _begin(self) -> None:
        scope = own.scope()
        self._facts = {names.OPERATION_ID: self.id, names.OPERATION_NAME: clean(self.name, 200)}
        self._facts |= {key: clean(str(value), 200) for key, value in self._ids.items() if value is not None}
        self.context = in_operation(self._facts, get_current())
        level = level_in_context() or settings().capture.level(Subject("ssh"))
        self._views = policy().at(level)
        if scope.tracer is None or scope.silent:
            return
        self._span = scope.tracer.start_span(self.name, self.context, SpanKind.INTERNAL, self._facts)
        self.context = set_span_in_context(self._span, self.context)
        if self._span.is_recording() and settings().events != "logs":
            self._events = SpanEvents(self._span, self._facts, self._views.spans)
        self._record(OperationStart())
        if self._commands:
            self._record(OperationPlanned(commands=tuple(_redacted(str(each)) for each in self._commands[:LIST])))

    @guard
    def _end(self, error: BaseException | None) -> None:
        if self._span is None:
            return
        duration = time.monotonic() - self._started
        summary = _redacted(self._summary) if self._summary is not None else None
        if error is None and not self._failed:
            self._record(OperationSuccess(summary=summary, duration=duration))
        else:
            reason = type_name(error) if error is not None else "_OTHER"
            self._record(OperationFailure(error_type=reason, summary=summary, duration=duration))
            self._span.set_attribute(names.ERROR_TYPE, reason)
            # Fixed text: an exception's own may hold what a device sent.
            self._span.set_status(StatusCode.ERROR, _RAISED if error is not None else _FAILED)
        if self._events is not None:
            self._events.flush()
        self._span.end()

    def _record(self, event: Event) -> None:
        now = time.time_ns()
        emitter = own.scope().emitter() if settings().events != "span" else None
        if emitter is not None and self._span is not None:
            attributes = self._views.logs.redact(event, dict(self._facts))
            emit(emitter, event, attributes, self._span.get_span_context(), self.context, now)
        if self._events is not None:
            self._events.add(event, now, None)
