"""Metrics: names, units and labels of the table, closed label sets, series that exist from the start."""

from __future__ import annotations

import gc
import tracemalloc
from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry.metrics import Histogram
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF

from sessionspan import metrics, own, session, settings
from sessionspan.events import AuthFailure, AuthSuccess, Command, MailReception, MailRejection
from sessionspan.testing import Recorder

SMTP = {"sessionspan.side": "server", "network.protocol.name": "smtp"}


@pytest.fixture(autouse=True)
def recorded(recorder: Recorder) -> Iterator[None]:
    own.SCOPE.bind(recorder.tracer_provider, recorder.logger_provider, recorder.meter_provider)
    yield
    own.SCOPE.unbind()


def value(recorder: Recorder, name: str, **labels: Any) -> float | None:
    wanted = frozenset((SMTP | {key.replace("__", "."): v for key, v in labels.items()}).items())
    return recorder.points(name).get(wanted)


def drive(number: int = 0) -> None:
    with session("SMTP", peer=(f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}", 40000)) as s:
        s.record(Command(command="EHLO", sequence=1, duration=0.001, reply_code=250, reply_status="2xx"))
        s.record(AuthFailure(mechanism="PLAIN", user_name=f"user{number}", error_type="invalid_credentials"))
        s.record(AuthSuccess(identity=f"user{number}", mechanism="PLAIN"))
        s.record(
            MailReception(
                spool_id="1",
                sender=f"a{number}@x",
                recipients=("b@y",),
                recipient_count=1,
                size=3,
                reception_protocol="ESMTP",
                response_command=".",
                reply_code=250,
                reply_status="2xx",
                transaction=1,
                sequence=2,
            )
        )
        s.record(MailRejection(recipient=f"n{number}@x", reply_code=550, reply_status="5xx"))
        s.count_bytes(from_client=10, from_server=20)


def test_a_session_is_counted(recorder: Recorder) -> None:
    drive()
    state = "sessionspan__session__state"
    assert value(recorder, "sessionspan.session.active", **{state: "authenticated"}) == 0
    assert value(recorder, "sessionspan.session.active", **{state: "unauthenticated"}) == 0
    ended = {"sessionspan__outcome": "ok", "sessionspan__end_reason": "local_close"}
    assert value(recorder, "sessionspan.session.duration", **ended) == 1
    command = {"sessionspan__command__name": "EHLO", "sessionspan__reply__status": "2xx"}
    assert value(recorder, "sessionspan.command.duration", **command) == 1
    login = {"sessionspan__auth__mechanism": "PLAIN", "sessionspan__tls__mode": "none"}
    assert value(recorder, "sessionspan.auth.attempts", **login) == 1
    assert value(recorder, "sessionspan.auth.attempts", **login, error__type="invalid_credentials") == 1
    accepted = {"sessionspan__mail__type": "reception", "sessionspan__reply__status": "2xx"}
    refused = {"sessionspan__mail__type": "rejection", "sessionspan__reply__status": "5xx"}
    assert value(recorder, "sessionspan.mail.records", **accepted) == 1
    assert value(recorder, "sessionspan.mail.records", **refused) == 1
    assert value(recorder, "sessionspan.session.received.size") == 10
    assert value(recorder, "sessionspan.session.sent.size") == 20


def test_an_open_session_is_active_in_its_state(recorder: Recorder) -> None:
    def active() -> dict[str, float]:
        found = recorder.points("sessionspan.session.active")
        return {str(dict(labels)["sessionspan.session.state"]): count for labels, count in found.items()}

    with session("SMTP", peer=("192.0.2.7", 1)) as s:
        assert active() == {"unauthenticated": 1, "authenticated": 0}
        s.set_username("alice")
        assert active() == {"unauthenticated": 0, "authenticated": 1}
        s.record(AuthSuccess(identity="bob", mechanism="PLAIN"))
        assert active() == {"unauthenticated": 0, "authenticated": 1}
    assert active() == {"unauthenticated": 0, "authenticated": 0}


def test_series_that_alerts_use_exist_from_the_first_session_on(recorder: Recorder) -> None:
    with session("SMTP", peer=("192.0.2.7", 1)):
        failed = {
            "sessionspan__auth__mechanism": "LOGIN",
            "sessionspan__tls__mode": "none",
            "error__type": "invalid_credentials",
        }
        assert value(recorder, "sessionspan.auth.attempts", **failed) == 0
        for reason in metrics.DROP_REASONS:
            assert value(recorder, "sessionspan.telemetry.dropped", sessionspan__drop__reason=reason) == 0
        refused = {"sessionspan__mail__type": "rejection", "sessionspan__reply__status": "4xx"}
        assert value(recorder, "sessionspan.mail.records", **refused) == 0


def test_an_event_over_the_cap_is_counted_as_dropped(recorder: Recorder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SESSIONSPAN_MAX_EVENTS", "0")
    settings.reload()
    drive()
    assert value(recorder, "sessionspan.telemetry.dropped", sessionspan__drop__reason="session_cap") == 1


def test_sampling_does_not_touch_metrics(recorder: Recorder) -> None:
    unsampling = TracerProvider(sampler=ALWAYS_OFF, shutdown_on_exit=False)
    own.SCOPE.bind(unsampling, recorder.logger_provider, recorder.meter_provider)
    drive()
    assert value(recorder, "sessionspan.session.received.size") == 10


def test_every_series_has_the_labels_of_its_row_and_no_others(recorder: Recorder) -> None:
    drive()
    for row in metrics.TABLE:
        points = recorder.points(row.name)
        assert points, row.name
        for labels in points:
            assert {key for key, _ in labels} - set(metrics.COMMON) <= set(row.labels), row.name


def test_histograms_in_seconds_have_bounds_of_their_own(recorder: Recorder) -> None:
    drive()
    data = recorder._reader.get_metrics_data()
    assert data is not None
    found = {m.name: m for r in data.resource_metrics for s in r.scope_metrics for m in s.metrics}
    for row in metrics.TABLE:
        assert found[row.name].unit == row.unit
        assert found[row.name].description == row.meaning
        if row.kind is Histogram:
            (point, *_) = found[row.name].data.data_points
            assert tuple(point.explicit_bounds) == row.bounds  # type: ignore[union-attr]


def test_twenty_thousand_addresses_and_users_make_no_series(recorder: Recorder) -> None:
    own.SCOPE.bind(TracerProvider(sampler=ALWAYS_OFF, shutdown_on_exit=False), None, recorder.meter_provider)
    for number in range(200):
        drive(number)

    def series() -> dict[str, int]:
        return {row.name: len(recorder.points(row.name)) for row in metrics.TABLE}

    before = series()
    gc.collect()
    tracemalloc.start()
    try:
        for number in range(200, 20_200):
            drive(number)
        gc.collect()
        grown, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert series() == before
    assert grown < 1_000_000  # two caches of 1,024 entries, of our own
