"""Operations: a span around any number of sessions, and its ids on what happens inside, over threads too."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from opentelemetry import baggage
from opentelemetry.context import detach
from opentelemetry.instrumentation.threading import ThreadingInstrumentor
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanKind, StatusCode

from sessionspan import capture, operation, own, session
from sessionspan.testing import Recorder

pytestmark = pytest.mark.usefixtures("recorded")


def the_operation(recorder: Recorder) -> ReadableSpan:
    (found,) = [span for span in recorder.spans if span.kind is SpanKind.INTERNAL]
    return found


def connect(number: int = 0) -> None:
    with session("SSH", side="client", server=(f"192.0.2.{number}", 22)):
        pass


def parent_ids(recorder: Recorder) -> set[int | None]:
    return {span.parent.span_id if span.parent else None for span in recorder.sessions}


def test_an_operation_is_a_span_with_its_ids_and_its_story(recorder: Recorder) -> None:
    with operation("interface_collection", commands=["show interface all"], device_id=1, user_id="ops") as op:
        op.success("Found 5 interfaces")
    span = the_operation(recorder)
    assert span.name == "interface_collection"
    ids = {
        "sessionspan.operation.id": op.id,
        "sessionspan.operation.name": "interface_collection",
        "sessionspan.operation.device.id": "1",
        "sessionspan.operation.user.id": "ops",
    }
    assert dict(span.attributes or {}) == ids
    assert [event.name for event in recorder.events] == [
        "operation.start",
        "operation.planned",
        "operation.success",
    ]
    assert [event.name for event in span.events] == [f"sessionspan.{event.name}" for event in recorder.events]
    for event in recorder.events:
        assert {key: event[key] for key in ids} == ids
        assert span.context is not None
        assert event.span_id == f"{span.context.span_id:016x}"
    assert recorder.events[1]["sessionspan.operation.commands"] == ("show interface all",)
    assert recorder.events[2]["sessionspan.operation.summary"] == "Found 5 interfaces"
    assert recorder.events[2]["sessionspan.operation.duration"] >= 0
    assert recorder.events[2].body.startswith("operation.success interface_collection Found 5 interfaces ")


def test_an_exception_is_a_failure_and_goes_on_without_its_text(recorder: Recorder) -> None:
    with pytest.raises(ValueError), operation("audit"):
        raise ValueError("the password is hunter2")
    failure = recorder.named("operation.failure")[0]
    assert failure["error.type"] == "ValueError"
    assert the_operation(recorder).status.status_code is StatusCode.ERROR
    assert "hunter2" not in recorder.everything()


def test_an_operation_can_say_that_it_failed(recorder: Recorder) -> None:
    with operation("audit") as op:
        op.failure("2 of 5 devices did not answer")
    assert recorder.named("operation.success") == []
    failure = recorder.named("operation.failure")[0]
    assert failure["sessionspan.operation.summary"] == "2 of 5 devices did not answer"
    assert the_operation(recorder).status.status_code is StatusCode.ERROR


def test_an_operation_works_with_async_with_and_its_tasks_are_in_it(recorder: Recorder) -> None:
    async def main() -> None:
        async with operation("audit"):
            await asyncio.gather(*(asyncio.to_thread(connect, n) for n in range(3)))

    asyncio.run(main())
    span = the_operation(recorder)
    assert span.context is not None
    assert parent_ids(recorder) == {span.context.span_id}


def test_every_event_of_a_session_that_is_opened_inside_has_the_ids(recorder: Recorder) -> None:
    with operation("audit", device_id=7) as op:
        connect()
    events = [event for event in recorder.events if event.name.startswith("session.")]
    assert len(events) == 2
    assert {event["sessionspan.operation.id"] for event in events} == {op.id}
    assert {event["sessionspan.operation.device.id"] for event in events} == {"7"}
    assert (recorder.sessions[0].attributes or {})["sessionspan.operation.id"] == op.id


def test_a_session_that_is_kept_says_which_operation_used_it(recorder: Recorder) -> None:
    with operation("first", device_id=1):
        opened = session("SSH", side="client", server=("192.0.2.1", 22))
        s = opened.__enter__()
        detach(opened._token)  # it stays open
    with operation("second"):
        s.established()
    s.end()
    told = {
        e.name: e.attributes.get("sessionspan.operation.name") for e in recorder.events if "session." in e.name
    }
    assert told == {"session.start": "first", "session.established": "second", "session.end": "first"}
    assert "sessionspan.operation.device.id" not in recorder.named("session.established")[0].attributes


def test_a_server_session_is_of_no_operation(recorder: Recorder) -> None:
    with operation("start the server"), session("SMTP", peer=("192.0.2.1", 1)):
        pass
    assert "sessionspan.operation.id" not in recorder.named("session.start")[0].attributes


def test_the_ids_are_not_in_baggage() -> None:
    with operation("audit", device_id=1):
        assert baggage.get_all() == {}


def test_bind_takes_the_operation_into_threads(recorder: Recorder) -> None:
    with ThreadPoolExecutor(4) as pool, operation("collection") as op:
        list(pool.map(op.bind(connect), range(12)))
    check_parents(recorder, 12)


def test_without_bind_a_thread_knows_of_no_operation(recorder: Recorder) -> None:
    with ThreadPoolExecutor(4) as pool, operation("collection"):
        list(pool.map(connect, range(3)))
    assert parent_ids(recorder) == {None}


def test_the_threading_instrumentation_takes_the_operation_into_threads(recorder: Recorder) -> None:
    ThreadingInstrumentor().instrument()
    try:
        with operation("collection"):
            with ThreadPoolExecutor(4) as pool:
                list(pool.map(connect, range(6)))
            threads = [threading.Thread(target=connect, args=(n,)) for n in range(6)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
    finally:
        ThreadingInstrumentor().uninstrument()
    check_parents(recorder, 12)


def check_parents(recorder: Recorder, count: int) -> None:
    span = the_operation(recorder)
    assert span.context is not None
    assert parent_ids(recorder) == {span.context.span_id}
    ends = recorder.named("session.end")
    assert len(ends) == count
    ids = {event["sessionspan.operation.id"] for event in ends}
    assert ids == {(span.attributes or {})["sessionspan.operation.id"]}


def test_two_operations_at_once_are_not_mixed(recorder: Recorder) -> None:
    def collect(number: int) -> None:
        with operation("collection", device_id=number):
            connect(number)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(collect, range(40)))
    for event in recorder.named("session.end"):
        assert event["server.address"] == f"192.0.2.{event['sessionspan.operation.device.id']}"


@pytest.mark.parametrize(("level", "shown"), [("metadata", False), ("commands", True)])
def test_planned_commands_obey_the_level(recorder: Recorder, level: str, shown: bool) -> None:
    with capture(level), operation("audit", commands="show version"):
        pass
    planned = recorder.named("operation.planned")[0]
    assert ("sessionspan.operation.commands" in planned.attributes) is shown


def test_without_any_provider_an_operation_does_nothing_and_breaks_nothing() -> None:
    own.SCOPE.unbind()
    with operation("audit", commands=["x"]) as op:
        op.success("fine")
        assert op.bind(lambda: 5)() == 5


def test_one_fact_of_any_type_is_text(recorder: Recorder) -> None:
    class Device:
        def __str__(self) -> str:
            return "router 1"

    devices: list[Any] = [0, Device(), ""]
    for device in devices:
        with operation("audit", device_id=device):
            pass
    starts = recorder.named("operation.start")
    assert [event["sessionspan.operation.device.id"] for event in starts] == ["0", "router 1", ""]
