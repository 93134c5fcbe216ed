"""Client-side sessions: they start before the connection is there, and say when it is, or why it never was."""

from __future__ import annotations

import pytest
from opentelemetry.context import attach, detach, get_value, set_value
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import StatusCode

from sessionspan import own, settings
from sessionspan.addresses import Address
from sessionspan.opening import open_session
from sessionspan.session import Session, Side, current_session
from sessionspan.testing import Recorder

SERVER = Address("core1.example", 22)


pytestmark = pytest.mark.usefixtures("recorded")


def opened() -> Session:
    session = open_session(own.SCOPE, "SSH", side=Side.CLIENT, server=SERVER, device="cisco_ios")
    assert session is not None
    session.start()
    return session


def facts(span: ReadableSpan) -> dict[str, object]:
    return dict(span.attributes or {})


def test_its_ends_are_learnt_once_it_is_connected(recorder: Recorder) -> None:
    session = opened()
    assert session.client_ip is None
    session.connected(Address("192.0.2.1", 22), Address("198.51.100.9", 50000))
    session.established()
    session.end("quit")
    start, established, end = recorder.events
    assert [event.name for event in recorder.events] == ["session.start", "session.established", "session.end"]
    assert (start["server.address"], start["server.port"]) == ("core1.example", 22)
    assert "client.address" not in start.attributes
    assert established["client.address"] == end["client.address"] == "198.51.100.9"
    assert established["sessionspan.session.duration"] <= end["sessionspan.session.duration"]
    assert established["sessionspan.device.type"] == "cisco_ios"
    found = facts(recorder.wait_for_session())
    assert (found["network.peer.address"], found["client_ip"]) == ("192.0.2.1", "198.51.100.9")
    assert (found["sessionspan.outcome"], found["sessionspan.end_reason"]) == ("ok", "quit")


@pytest.mark.parametrize(
    ("reason", "described"),
    [
        ("connect_failed", "the connection failed"),
        ("auth_failed", "the login failed"),
        ("peer_eof", "the connection was lost"),
        ("peer_reset", "the connection was lost"),
    ],
)
def test_a_failure_is_an_error_of_the_client(recorder: Recorder, reason: str, described: str) -> None:
    session = opened()
    session.broke(reason, "ConnectionRefusedError", "refused by 192.0.2.1")
    session.end()
    span = recorder.wait_for_session()
    assert (span.status.status_code, span.status.description) == (StatusCode.ERROR, described)
    found = facts(span)
    assert (found["sessionspan.outcome"], found["sessionspan.end_reason"]) == ("error", reason)
    assert found["error.type"] == "ConnectionRefusedError"
    assert recorder.named("session.end")[0].severity.name == "ERROR"  # type: ignore[union-attr]
    told = recorder.named("session.exception")[0]
    assert told["exception.type"] == "ConnectionRefusedError"
    assert told["exception.message"] == "refused by 192.0.2.1"


def test_the_text_of_a_failure_is_not_told_at_level_metadata(
    recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SESSIONSPAN_CAPTURE", "metadata")
    settings.reload()
    session = opened()
    session.broke("connect_failed", "ConnectionRefusedError", "refused by 192.0.2.1")
    session.end()
    assert "exception.message" not in recorder.named("session.exception")[0].attributes


def test_the_type_of_a_device_may_change(recorder: Recorder) -> None:
    session = opened()
    session.set_device("linux")
    session.end()
    assert session.device == "linux"
    told = [event["sessionspan.device.type"] for event in recorder.events]
    assert told == ["cisco_ios", "linux"]


def test_a_session_takes_the_place_of_another_without_leaving_its_context(recorder: Recorder) -> None:
    session = opened()
    token = attach(session.over(set_value("mine", 1)))
    assert get_value("mine") == 1
    assert current_session() is session
    detach(token)
    session.end()
