"""Settings: what is read, and what is said of what cannot be."""

from __future__ import annotations

import dataclasses
from ipaddress import ip_network

import pytest

from sessionspan.settings import Settings, load


def test_nothing_set_is_nothing_to_say() -> None:
    assert load({"PATH": "/bin", "OTEL_SERVICE_NAME": "x"}) == (Settings(), [])


def test_values_are_read_in_any_case() -> None:
    found, problems = load(
        {
            "SESSIONSPAN_EVENTS": " Span ",
            "SESSIONSPAN_MAX_EVENTS": "5",
            "SESSIONSPAN_IGNORE_CLIENTS": "10.0.0.0/8, ::1,",
            "SESSIONSPAN_SIGTERM": "OFF",
            "SESSIONSPAN_BACKEND": "Jaeger",
        }
    )
    assert problems == []
    assert (found.events, found.max_events, found.sigterm, found.backend) == ("span", 5, False, "jaeger")
    assert found.ignore_clients == (ip_network("10.0.0.0/8"), ip_network("::1"))


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("SESSIONSPAN_EVENTS", "spans", "must be one of logs, span, both"),
        ("SESSIONSPAN_MAX_EVENTS", "many", "must be a whole number, 0 or more"),
        ("SESSIONSPAN_MAX_EVENTS", "-1", "must be a whole number, 0 or more"),
        ("SESSIONSPAN_IGNORE_CLIENTS", "10.0.0.0/8,example.com", "'example.com' is none"),
        ("SESSIONSPAN_SIGTERM", "maybe", "must be on or off"),
        ("SESSIONSPAN_BACKEND", "zipkin", "must be one of empty, jaeger"),
    ],
)
def test_a_wrong_value_is_one_line_with_the_default(variable: str, value: str, said: str) -> None:
    found, problems = load({variable: value})
    assert found == Settings()
    (line,) = problems
    assert variable in line
    assert repr(value) in line
    assert said in line
    assert "the default is used" in line
    assert "\n" not in line


def test_an_unknown_setting_is_one_line_with_the_nearest_name() -> None:
    _, problems = load({"SESSIONSPAN_EVENT": "logs", "SESSIONSPAN_QQQ": "1"})
    assert problems == [
        "SESSIONSPAN_EVENT is no setting of sessionspan and does nothing (did you mean SESSIONSPAN_EVENTS?).",
        "SESSIONSPAN_QQQ is no setting of sessionspan and does nothing.",
    ]


def test_every_default_is_what_its_text_says() -> None:
    for field in dataclasses.fields(Settings):
        assert field.metadata["parse"](field.metadata["default"]) == field.default
        assert field.metadata["meaning"].endswith(".")
