"""The shorter ways onto the SDK's records and spans say what the API's way says, and know where they would not."""

from __future__ import annotations

import copy
import json
import re
import uuid
from typing import Any

import pytest
from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.context import Context
from opentelemetry.sdk._logs import LoggerProvider, LogRecordProcessor
from opentelemetry.sdk.trace import ReadableSpan, SpanLimits, SpanProcessor, TracerProvider
from opentelemetry.trace import (
    INVALID_SPAN,
    NonRecordingSpan,
    Span,
    SpanContext,
    SpanKind,
    TraceFlags,
    set_span_in_context,
)

from sessionspan.emitting import Emitter, PlainEmitter, emitter_of, is_sampled
from sessionspan.ids import new_uuid
from sessionspan.sdk.records import _Record
from sessionspan.span_writer import BY_API, writer_of

ATTRIBUTES: dict[str, Any] = {
    "sessionspan.command.name": "MAIL",
    "sessionspan.command.sequence": 3,
    "sessionspan.command.duration": 0.25,
    "sessionspan.mail.recipients": ("a@x.test", "b@x.test"),
    "tls.resumed": False,
    "sessionspan.mail.sender": "",
}


class Kept(SpanProcessor, LogRecordProcessor):
    """What arrives at processors."""

    def __init__(self) -> None:
        self.spans: list[ReadableSpan] = []
        self.records: list[Any] = []

    def on_end(self, span: ReadableSpan) -> None:
        self.spans.append(span)

    def on_emit(self, log_record: Any) -> None:
        self.records.append(log_record)

    def shutdown(self) -> None: ...

    def force_flush(self, timeout_millis: int = 0) -> bool:
        return True


def traced(kept: Kept, limits: SpanLimits | None = None) -> Span:
    provider = TracerProvider(span_limits=limits, shutdown_on_exit=False)
    provider.add_span_processor(kept)
    return provider.get_tracer("x").start_span("x", kind=SpanKind.SERVER, attributes={"k": "v"}, start_time=1)


def logged(kept: Kept) -> Any:
    provider = LoggerProvider(shutdown_on_exit=False)
    provider.add_log_record_processor(kept)
    return provider.get_logger("x", "1")


def said_of(emitter: Emitter, kept: Kept, span: Span) -> tuple[dict[str, Any], dict[str, Any]]:
    """The record that *emitter* makes of one event: its fields, and what is around it."""
    context = set_span_in_context(span, Context())
    emitter.emit("e", 5, SeverityNumber.WARN, "e MAIL", dict(ATTRIBUTES), span.get_span_context(), context)
    record = kept.records.pop()
    # Of what is not in the object itself its class has the value.
    fields = {name: getattr(record.log_record, name) for name in vars(LogRecord(context=Context()))}
    assert fields.pop("observed_timestamp") > 1e18
    fields["attributes"] = dict(fields["attributes"])
    around = {
        "resource": dict(record.resource.attributes),
        "scope": record.instrumentation_scope,
        "limits": vars(record.limits),
        "dropped": record.dropped_attributes,
    }
    return fields, around


def test_a_record_that_was_handed_over_finished_is_what_the_api_makes() -> None:
    kept = Kept()
    logger, span = logged(kept), traced(kept)
    shorter = emitter_of(logger)
    assert not isinstance(shorter, PlainEmitter)
    assert said_of(shorter, kept, span) == said_of(PlainEmitter(logger), kept, span)


def test_a_copy_of_a_record_has_all_of_it_and_a_context_of_its_own() -> None:
    kept = Kept()
    span = traced(kept)
    where, context = span.get_span_context(), set_span_in_context(span, Context())
    emitter_of(logged(kept)).emit("e", 5, SeverityNumber.WARN, "e", {}, where, context)
    record = kept.records[0].log_record
    assert type(record) is _Record
    record.severity_text, record.body = "WARNING", "rewritten by a processor"
    copied = copy.copy(record)
    assert vars(copied) == vars(record)
    copied.context = Context()  # as the batch processor does
    assert record.context is not copied.context
    assert (copied.severity_text, copied.body) == ("WARNING", "rewritten by a processor")
    assert all(
        getattr(copied, name) is None for name in vars(LogRecord(context=Context())) if name not in vars(copied)
    )


def test_attributes_are_left_to_the_sdk_where_it_shall_limit_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT", "3")
    kept = Kept()
    assert isinstance(emitter_of(logged(kept)), PlainEmitter)
    span = traced(kept)
    assert writer_of(span) is BY_API
    writer_of(span).set(span, {"a": "abcdef"})
    span.end()
    assert dict(kept.spans[0].attributes or {}) == {"k": "v", "a": "abc"}


@pytest.mark.parametrize("limits", [SpanLimits(max_span_attributes=5), SpanLimits(max_event_attributes=5)])
def test_attributes_are_left_to_a_provider_that_limits_their_number(limits: SpanLimits) -> None:
    assert writer_of(traced(Kept(), limits)) is BY_API


def test_a_span_that_was_written_the_shorter_way_is_what_the_api_makes() -> None:
    kept = Kept()
    for shorter in (True, False):
        span = traced(kept)
        writer = writer_of(span) if shorter else BY_API
        assert (writer is BY_API) is not shorter
        writer.set(span, {"k": "w", **ATTRIBUTES})
        writer.add(span, "first", dict(ATTRIBUTES), 7)
        writer.add(span, "second", {}, 8)
        span.end(end_time=9)
    ours, theirs = (json.loads(span.to_json()) for span in kept.spans)
    assert ours.pop("context") != theirs.pop("context")
    assert ours == theirs
    assert kept.spans[0].events[0].attributes == kept.spans[1].events[0].attributes
    assert kept.spans[0].dropped_attributes == kept.spans[0].dropped_events == 0


def test_more_attributes_than_a_span_may_have_push_the_oldest_out() -> None:
    kept = Kept()
    span = traced(kept, SpanLimits(max_span_attributes=130))
    writer_of(span).set(span, {f"a{number}": number for number in range(130)})
    span.end()
    assert len(kept.spans[0].attributes or {}) == 130
    assert kept.spans[0].dropped_attributes == 1


def test_a_span_that_has_ended_stays_as_it_is(caplog: pytest.LogCaptureFixture) -> None:
    kept = Kept()
    span = traced(kept)
    span.end()
    writer_of(span).set(span, {"a": 1})
    writer_of(span).add(span, "late", {}, 1)
    assert dict(kept.spans[0].attributes or {}) == {"k": "v"}
    assert not kept.spans[0].events
    assert len(caplog.records) == 2


class Foreign(NonRecordingSpan):
    """A span of somebody else's SDK."""


@pytest.mark.parametrize("span", [INVALID_SPAN, Foreign(INVALID_SPAN.get_span_context())])
def test_a_span_that_is_not_the_sdks_is_written_by_the_api(span: Span) -> None:
    assert writer_of(span) is BY_API


def test_no_tracer_at_all_is_not_unsampled() -> None:
    kept = Kept()
    assert is_sampled(INVALID_SPAN.get_span_context())
    sampled = traced(kept).get_span_context()
    assert is_sampled(sampled)
    assert not is_sampled(SpanContext(sampled.trace_id, sampled.span_id, False, TraceFlags(0)))


def test_an_id_is_a_uuid_of_version_4_and_a_new_one_each_time() -> None:
    ids = {new_uuid() for _ in range(1000)}
    assert len(ids) == 1000
    for each in ids:
        found = uuid.UUID(each)
        assert (str(found), found.version, found.variant) == (each, 4, uuid.RFC_4122)
    assert {each[19] for each in ids} == set("89ab")
    assert all(re.fullmatch(r"[0-9a-f-]{36}", each) for each in ids)
