"""An open span of the SDK takes less memory under us, and is what it always is for everybody else."""

from __future__ import annotations

import copy
import json
import logging
import threading
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry import trace
from opentelemetry.attributes import BoundedAttributes
from opentelemetry.sdk.trace import (
    Event,
    ReadableSpan,
    Span,
    SpanLimits,
    SpanProcessor,
    SynchronousMultiSpanProcessor,
    TracerProvider,
)
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import (
    ALWAYS_ON,
    DEFAULT_ON,
    Decision,
    ParentBased,
    ParentBasedTraceIdRatio,
    Sampler,
    SamplingResult,
    TraceIdRatioBased,
)
from opentelemetry.sdk.util import BoundedList
from opentelemetry.trace import SpanContext, TraceFlags

from sessionspan import own, session
from sessionspan.addresses import Address
from sessionspan.guard import guard
from sessionspan.sdk import memory
from sessionspan.sdk.memory import Events, Few, Lent, lighten
from sessionspan.sdk.spans import nobody_looks
from sessionspan.span_writer import writer_of
from sessionspan.testing import Recorder

PEER = ("192.0.2.7", 40000)
OTHER = SpanContext(1, 2, False, TraceFlags(1))


pytestmark = pytest.mark.usefixtures("recorded")


def current_span() -> Any:
    return trace.get_current_span()


def facts_of(recorder: Recorder) -> dict[str, Any]:
    """What session.end, the last event, says of its session."""
    return dict(recorder.events[-1].attributes)


def test_a_session_and_its_span_have_one_dictionary(recorder: Recorder) -> None:
    with session("SMTP", peer=PEER) as s:
        assert type(current_span()._attributes) is Lent
        assert current_span()._attributes._dict is s._facts.values
        s.set_username("ann")
        assert current_span().attributes["user.name"] == "ann"
    assert (recorder.wait_for_session().attributes or {})["user.name"] == "ann"


def test_what_an_application_sets_on_the_span_is_none_of_the_sessions_facts(recorder: Recorder) -> None:
    with session("SMTP", peer=PEER) as s:
        current_span().set_attribute("client.address", "spoofed")
        current_span().set_attributes({"shop.order": 7})
        s.set_username("ann")
    on_span = recorder.wait_for_session().attributes or {}
    assert (on_span["client.address"], on_span["shop.order"], on_span["user.name"]) == ("spoofed", 7, "ann")
    assert on_span["sessionspan.end_reason"] == "local_close"
    assert facts_of(recorder)["client.address"] == "192.0.2.7"
    assert "shop.order" not in facts_of(recorder)
    assert {event["client.address"] for event in recorder.events} == {"192.0.2.7"}


def test_many_attributes_of_an_application_push_the_sessions_out_on_the_span_only(
    recorder: Recorder,
) -> None:
    with session("SMTP", peer=PEER):
        for number in range(200):
            current_span().set_attribute(f"a{number}", number)
    span = recorder.spans[-1]
    assert len(span.attributes or {}) == 128
    assert span.dropped_attributes > 80
    assert facts_of(recorder)["network.transport"] == "tcp"


class SeesAll(SpanProcessor):
    """Sees the attributes of each span that starts."""

    def on_start(self, span: Span, parent_context: Any = None) -> None:
        assert span.attributes


class Marks(SpanProcessor, Sampler):
    """Sets an attribute of its own on each span: as a processor, or as a sampler."""

    def on_start(self, span: Span, parent_context: Any = None) -> None:
        span.set_attribute("from.processor", True)

    def should_sample(self, *args: Any, **kwargs: Any) -> SamplingResult:
        attributes = kwargs.get("attributes") or args[4]
        return SamplingResult(Decision.RECORD_AND_SAMPLE, {**attributes, "from.sampler": True})

    def get_description(self) -> str:
        return "marks"


@pytest.mark.parametrize("source", ["processor", "sampler"])
def test_what_others_set_at_the_start_is_on_the_span_only(recorder: Recorder, source: str) -> None:
    provider = TracerProvider(sampler=Marks() if source == "sampler" else ALWAYS_ON, shutdown_on_exit=False)
    if source == "processor":
        provider.add_span_processor(Marks())
    provider.add_span_processor(recorder)
    own.SCOPE.bind(provider, recorder.logger_provider)
    with session("SMTP", peer=PEER):
        pass
    span = recorder.wait_for_session()
    assert (span.attributes or {})[f"from.{source}"] is True
    assert (span.attributes or {})["sessionspan.end_reason"] == "local_close"
    assert f"from.{source}" not in facts_of(recorder)


def test_a_processor_that_kept_the_attributes_sees_what_is_learnt(recorder: Recorder) -> None:
    class Keeps(SpanProcessor):
        def on_start(self, span: Span, parent_context: Any = None) -> None:
            kept.append(span.attributes)

    kept: list[Any] = []
    recorder.tracer_provider.add_span_processor(Keeps())
    with session("SMTP", peer=PEER) as s:
        s.set_username("ann")
        assert kept[0]["user.name"] == "ann"


def test_what_is_learnt_after_the_end_is_not_on_a_span_that_is_exported(recorder: Recorder) -> None:
    with session("SMTP", peer=PEER) as s:
        pass
    exported = recorder.wait_for_session()
    before = dict(exported.attributes or {})
    s._facts.learn({"sessionspan.mail.accepted.count": 99})
    assert dict(exported.attributes or {}) == before


def test_a_reader_of_the_attributes_is_not_disturbed_by_what_is_learnt() -> None:
    facts: dict[str, Any] = {"a": 1, "b": 2}
    attributes = Lent(facts, 128)
    keys, items = iter(attributes), iter(attributes.items())
    facts["c"] = 3
    assert list(keys) == ["a", "b"]
    assert list(items) == [("a", 1), ("b", 2)]
    assert dict(attributes) == facts


def test_lent_attributes_are_as_those_of_the_sdk() -> None:
    given: dict[str, Any] = {"a": 1, "b": ("x", "y")}
    theirs, ours = BoundedAttributes(3, given, immutable=False), Lent(dict(given), 3)
    for attributes in (theirs, ours):
        attributes["c"] = [1, 2]
        attributes["d"] = "pushes a out"
        attributes["e"] = 2.5
        del attributes["d"]
        attributes[""] = "no key"
    assert (dict(ours), len(ours), ours.dropped) == (dict(theirs), len(theirs), theirs.dropped)
    assert repr(ours) == repr(theirs)
    assert ours == theirs
    if hasattr(BoundedAttributes, "__deepcopy__"):  # older ones cannot be copied
        copied = copy.deepcopy(ours)
        assert dict(copied) == dict(ours)
        copied["c"] = "of the copy"
        assert ours["c"] == (1, 2)
    assert {name: getattr(ours, name) for name in vars(theirs) if name not in ("_lock", "_dict")} == {
        name: value for name, value in vars(theirs).items() if name not in ("_lock", "_dict")
    }


_STEPS = st.lists(st.one_of(st.integers(), st.lists(st.integers(), max_size=5)), max_size=12)


class Deaf(BatchSpanProcessor):
    """A batch processor of somebody's own, that looks when a span ends only."""

    def on_end(self, span: ReadableSpan) -> None: ...


class Curious(BatchSpanProcessor):
    """A batch processor that looks when a span starts."""

    def on_start(self, span: Span, parent_context: Any = None) -> None: ...


def patched() -> SpanProcessor:
    processor = SimpleSpanProcessor(InMemorySpanExporter())
    processor.on_start = lambda *args, **kwargs: None  # type: ignore[method-assign]
    return processor


@pytest.mark.parametrize(
    ("sampler", "processor", "looks"),
    [
        (ALWAYS_ON, None, False),
        (DEFAULT_ON, lambda: BatchSpanProcessor(InMemorySpanExporter()), False),
        (ParentBasedTraceIdRatio(0.5), lambda: SimpleSpanProcessor(InMemorySpanExporter()), False),
        (ParentBased(TraceIdRatioBased(0.5)), lambda: Deaf(InMemorySpanExporter()), False),
        (ALWAYS_ON, lambda: Curious(InMemorySpanExporter()), True),
        (ALWAYS_ON, Marks, True),
        (ALWAYS_ON, patched, True),
        (Marks(), None, True),
        (ParentBased(Marks()), None, True),
        (ParentBased(ALWAYS_ON, local_parent_not_sampled=Marks()), None, True),
    ],
)
def test_it_is_known_who_may_look_at_a_span_that_starts(sampler: Sampler, processor: Any, looks: bool) -> None:
    provider = TracerProvider(sampler=sampler, shutdown_on_exit=False)
    if processor is not None:
        provider.add_span_processor(processor())
    assert nobody_looks(provider.get_tracer("x")) is not looks
    provider.shutdown()


@pytest.mark.parametrize("length", [None, 9])
def test_attributes_that_come_late_are_those_that_come_in_time(
    length: int | None,
) -> None:
    exported: list[dict[str, Any]] = []
    for in_time in (False, True):
        kept = InMemorySpanExporter()
        provider = TracerProvider(span_limits=SpanLimits(max_attribute_length=length), shutdown_on_exit=False)
        provider.add_span_processor(SimpleSpanProcessor(kept))
        if in_time:
            provider.add_span_processor(SeesAll())
        assert nobody_looks(provider.get_tracer("x")) is not in_time
        own.SCOPE.bind(provider)
        with session("SMTP", peer=PEER) as s:
            s.set_username("ann")
        exported.append(dict(kept.get_finished_spans()[0].attributes or {}))
        for own_alone in ("sessionspan.session.id", "session_id"):
            assert exported[-1].pop(own_alone) == s.id[:length]
        assert exported[-1].pop("sessionspan.session.duration") > 0
    assert exported[0] == exported[1]
    assert exported[0]["user.name"] == "ann"


@given(_STEPS, st.sampled_from((None, 0, 1, 4, 128)))
def test_a_short_list_is_as_that_of_the_sdk(steps: list[Any], limit: int | None) -> None:
    theirs: BoundedList[Any] = BoundedList(limit)
    ours = Few(limit)
    for made in (theirs, ours):
        for step in steps:
            made.extend(step) if isinstance(step, list) else made.append(step)
    for made in (ours, copy.deepcopy(ours)):
        assert ([*made], len(made), made.dropped) == ([*theirs], len(theirs), theirs.dropped)
    assert repr(ours) == repr(theirs)
    assert [*reversed(ours)] == [*reversed(theirs)]
    assert not theirs or (ours[0], ours[-1]) == (theirs[0], theirs[-1])


_ADDED = st.lists(st.tuples(st.booleans(), st.dictionaries(st.sampled_from("abc"), st.integers(0, 9))), max_size=9)


def _told(events: Any) -> list[tuple[str, Any, int]]:
    return [(event.name, dict(event.attributes), event.timestamp) for event in events]


@given(_ADDED, st.sampled_from((None, 0, 1, 4, 128)), st.integers(0, 9))
def test_events_of_ours_and_of_others_are_as_in_the_list_of_the_sdk(
    added: list[tuple[bool, dict[str, Any]]], limit: int | None, read_at: int
) -> None:
    theirs: BoundedList[Any] = BoundedList(limit)
    ours = Events(limit)
    for number, (is_ours, attributes) in enumerate(added):
        if number == read_at:
            assert _told(ours) == _told(theirs)
        if is_ours:
            ours.add("x", attributes.copy(), number)
        else:
            ours.append(Event("x", attributes, number))
        theirs.append(Event("x", attributes, number))
        assert (len(ours), ours.dropped) == (len(theirs), theirs.dropped)
    assert _told(copy.deepcopy(ours)) == _told(ours) == _told(theirs)
    assert _told(reversed(ours)) == _told(reversed(theirs))
    assert _told(ours[-2:]) == _told([*theirs][-2:])


def test_what_a_processor_changes_in_an_event_is_exported(recorder: Recorder) -> None:
    class Redacts(SpanProcessor):
        def on_end(self, span: ReadableSpan) -> None:
            for event in span.events:
                event._attributes = {**(event.attributes or {}), "client.address": "redacted"}

    kept = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(Redacts())
    provider.add_span_processor(SimpleSpanProcessor(kept))
    own.SCOPE.bind(provider)
    with session("SMTP", peer=PEER):
        assert type(current_span()._events) is Events
        current_span().add_event("an application's")
        started, _ = current_span().events
        assert started.name == "sessionspan.session.start"
        started._attributes = {"seen": True}
    (span,) = kept.get_finished_spans()
    assert [event.name for event in span.events] == [
        "sessionspan.session.start",
        "an application's",
        "sessionspan.session.end",
    ]
    assert {(event.attributes or {})["client.address"] for event in span.events} == {"redacted"}
    assert span.events[0] is started
    assert (started.attributes or {})["seen"]


class Overtaken:
    """Makes events as the SDK does; before the first one is made, somebody else has done something."""

    def __init__(self, first: Callable[[], None]) -> None:
        self.first: Callable[[], None] | None = first

    def __call__(self, *args: Any) -> Event:
        first, self.first = self.first, None
        if first is not None:
            first()
        return Event(*args)


def _redact(events: Events) -> None:
    for event in events:
        event._attributes = {"k": "redacted"}


def test_what_another_reader_has_changed_meanwhile_stays_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    events = Events(128)
    for number in range(3):
        events.add("x", {"k": number}, number)
    monkeypatch.setattr(memory, "Event", Overtaken(lambda: _redact(events)))
    assert {event.attributes["k"] for event in events} == {"redacted"}
    assert {event.attributes["k"] for event in events} == {"redacted"}


def test_what_a_reader_changes_stays_changed_though_older_events_go_meanwhile(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    events = Events(2)
    for name in "ab":
        events.add(name, {"k": name}, 1)
    monkeypatch.setattr(memory, "Event", Overtaken(lambda: events.add("c", {"k": "c"}, 1)))
    _redact(events)
    assert [(event.name, event.attributes["k"]) for event in events] == [("b", "redacted"), ("c", "c")]


def test_a_span_that_takes_events_in_its_own_way_gets_events() -> None:
    class Own(Span):
        def _add_event(self, event: Any) -> None:
            added.append(event.name)

    added: list[str] = []
    span: Any = TracerProvider(shutdown_on_exit=False).get_tracer("x").start_span("x")
    span.__class__ = Own
    writer_of(span).add(span, "ours", {}, 1)
    assert added == ["ours"]


def test_a_reader_of_events_is_not_disturbed_by_those_that_come() -> None:
    events = Events(128)
    events.add("a", {"k": 1}, 1)
    reader = iter(events)
    events.add("b", {"k": 2}, 2)
    assert [event.name for event in reader] == ["a"]
    assert [event.name for event in events] == ["a", "b"]


@pytest.mark.parametrize("limit", [128, 2])
def test_links_and_events_of_an_application_are_on_the_span(recorder: Recorder, limit: int) -> None:
    spans = []
    for lighter in (True, False):
        provider = TracerProvider(
            span_limits=SpanLimits(max_events=limit, max_links=limit), shutdown_on_exit=False
        )
        provider.add_span_processor(recorder)
        span: Any = provider.get_tracer("x").start_span("x", attributes={"k": "v"}, start_time=1)
        if lighter:
            lighten(span)
            assert (type(span._events), type(span._links)) == (Events, Few)
        for number in range(3):
            span.add_event(f"e{number}", {"n": number}, number)
            span.add_link(OTHER, {"n": number})
        span.end(end_time=9)
        spans.append(json.loads(recorder.spans[-1].to_json()))
        assert (recorder.spans[-1].dropped_events, recorder.spans[-1].dropped_links) == (max(0, 3 - limit),) * 2
    ours, theirs = spans
    assert ours.pop("context") != theirs.pop("context")
    assert ours == theirs
    assert len(ours["links"]) == len(ours["events"]) == min(3, limit)


def test_a_list_of_somebodys_own_stays_as_it_is() -> None:
    span: Any = TracerProvider(shutdown_on_exit=False).get_tracer("x").start_span("x")
    span._events = theirs = [1]
    lighten(span)
    assert span._events is theirs


def test_a_list_that_has_something_in_it_stays_as_it_is() -> None:
    provider = TracerProvider(shutdown_on_exit=False)
    span: Any = provider.get_tracer("x").start_span("x", links=[trace.Link(OTHER)])
    span.add_event("from a processor")
    lighten(span)
    assert (type(span._events), type(span._links)) == (BoundedList, BoundedList)
    assert (len(span._events), len(span._links)) == (1, 1)


@pytest.mark.parametrize("limit", [SpanLimits.UNSET, 129])
def test_a_span_that_may_have_many_events_has_the_lists_of_the_sdk(limit: int) -> None:
    provider = TracerProvider(span_limits=SpanLimits(max_events=limit, max_links=limit), shutdown_on_exit=False)
    span: Any = provider.get_tracer("x").start_span("x")
    lighten(span)
    assert (type(span._events), type(span._links)) == (BoundedList, BoundedList)


def test_a_span_that_the_application_has_ended_changes_no_more(recorder: Recorder) -> None:
    with session("SMTP", peer=PEER) as s:
        current_span().end()
        exported = recorder.spans[-1]
        before = dict(exported.attributes or {})
        s.set_username("ann")
    assert dict(exported.attributes or {}) == before
    assert facts_of(recorder)["user.name"] == "ann"


def test_what_was_known_of_a_client_stays_on_the_span(recorder: Recorder) -> None:
    for sets_something in (False, True):
        with session("SMTP", peer=PEER) as s:
            if sets_something:
                current_span().set_attribute("a", 1)
            s.set_proxy("proxy_v1", Address("192.0.2.9", None))
        span = recorder.spans[-1]
        assert ((span.attributes or {})["client.address"], (span.attributes or {})["client.port"]) == (
            "192.0.2.9",
            40000,
        )
        assert "client.port" not in facts_of(recorder)


def test_no_span_waits_for_another(recorder: Recorder) -> None:
    """The SDK logs what is wrong with attributes while it holds their lock; who listens may use another span."""
    other: list[Any] = []

    class UsesAnother(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            other[0].set_attribute("seen", True)

    with session("SMTP", peer=PEER):
        other.append(current_span())
        with session("IMAP", peer=PEER):
            handler = UsesAnother()
            logging.getLogger("opentelemetry.attributes").addHandler(handler)
            filling = threading.Thread(target=_fill, args=(current_span(),), daemon=True)
            filling.start()
            filling.join(30)
            logging.getLogger("opentelemetry.attributes").removeHandler(handler)
            assert not filling.is_alive()
    assert (recorder.spans[-1].attributes or {})["seen"] is True


def _fill(span: Any) -> None:
    for number in range(200):
        span.set_attribute(f"a{number}", number)
    span.set_attribute("invalid", object())  # which older versions log so, and newer ones that it is full


class Own(SynchronousMultiSpanProcessor):
    """Sees each span before the processors that were added."""

    def on_start(self, span: Span, parent_context: Any = None) -> None:
        assert span.attributes


class Alone(SpanProcessor):
    """No processor of many."""


@pytest.mark.parametrize("kind", [Own, Alone])
def test_a_span_starts_with_its_attributes_for_a_processor_of_somebodys_own(
    kind: type[SpanProcessor], recorder: Recorder
) -> None:
    failures = guard.failures
    provider = TracerProvider(active_span_processor=kind(), shutdown_on_exit=False)  # type: ignore[arg-type]
    assert nobody_looks(provider.get_tracer("x")) is False
    own.SCOPE.bind(provider, recorder.logger_provider)
    with session("SMTP", peer=PEER):
        assert current_span().attributes["client.address"] == "192.0.2.7"
    assert guard.failures == failures


class Wrapping(trace.Tracer):
    """A tracer of somebody's own around one of the SDK."""

    def __init__(self, tracer: trace.Tracer) -> None:
        self._tracer = tracer
        self.seen: list[Any] = []

    def start_span(self, *args: Any, **kwargs: Any) -> trace.Span:
        self.seen.append(kwargs["attributes"])
        return self._tracer.start_span(*args, **kwargs)

    def start_as_current_span(self, *args: Any, **kwargs: Any) -> Any:
        return self._tracer.start_as_current_span(*args, **kwargs)


def test_a_tracer_that_wraps_one_of_the_sdk_is_given_the_attributes(recorder: Recorder) -> None:
    wrapping = Wrapping(recorder.tracer_provider.get_tracer("x"))
    own.SCOPE.tracer = wrapping
    with session("SMTP", peer=PEER):
        pass
    assert wrapping.seen[0]["client.address"] == "192.0.2.7"
