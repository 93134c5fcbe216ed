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


@pytest.mark.parametrize(
    ("value", "read"),
    [
        ("1143:imap", [(None, 1143, "IMAP")]),
        ("1143:imap, 1110:POP3 ,2525:smtp,", [(None, 1143, "IMAP"), (None, 1110, "POP3"), (None, 2525, "SMTP")]),
        ("127.0.0.1:1143:imap,1143:pop3", [("127.0.0.1", 1143, "IMAP"), (None, 1143, "POP3")]),
        ("[::1]:1143:imap", [("::1", 1143, "IMAP")]),
        ("0.0.0.0:1143:imap", [(None, 1143, "IMAP")]),
        ("[::]:1143:imap", [(None, 1143, "IMAP")]),
        ("[::ffff:10.0.0.1]:1143:imap", [("10.0.0.1", 1143, "IMAP")]),
    ],
)
def test_ports_are_read(value: str, read: list[tuple[str | None, int, str]]) -> None:
    found, problems = load({"SESSIONSPAN_PORTS": value})
    assert list(found.ports) == read
    assert problems == []


@pytest.mark.parametrize(
    ("part", "said"),
    [
        ("1143", "it must be PORT:PROTOCOL or ADDRESS:PORT:PROTOCOL"),
        ("1143=imap", "it must be PORT:PROTOCOL or ADDRESS:PORT:PROTOCOL"),
        ("::1:1143:imap", "it must be PORT:PROTOCOL or ADDRESS:PORT:PROTOCOL"),
        ("mx:imap", "mx is no port (1 to 65535)"),
        ("0:imap", "0 is no port (1 to 65535)"),
        ("65536:imap", "65536 is no port (1 to 65535)"),
        ("-1:imap", "-1 is no port (1 to 65535)"),
        ("\u0661:imap", "\u0661 is no port (1 to 65535)"),
        (":imap", "nothing is no port (1 to 65535)"),
        ("1143:imop", "imop is none of the protocols ftp, imap, lmtp, managesieve, pop3, smtp"),
        ("1143:", "nothing is none of the protocols ftp, imap, lmtp, managesieve, pop3, smtp"),
        ("mx.example:1143:imap", "mx.example is no IP address"),
        (":1143:imap", "nothing is no IP address"),
        ("[]:1143:imap", "[] is no IP address"),
        ("2525:pop3", "2525 is there already"),
        ("0.0.0.0:2525:pop3", "0.0.0.0:2525 is there already"),
    ],
)
def test_a_wrong_port_is_one_line_and_the_others_are_in_force(part: str, said: str) -> None:
    found, problems = load({"SESSIONSPAN_PORTS": f"2525:smtp,{part},[::1]:1110:pop3"})
    assert [str(port) for port in found.ports] == ["2525:smtp", "[::1]:1110:pop3"]
    assert problems == [f"SESSIONSPAN_PORTS: {part!r} is left out: {said}; in force: 2525:smtp,[::1]:1110:pop3."]


def test_each_wrong_port_has_its_line_also_when_none_is_left() -> None:
    found, problems = load({"SESSIONSPAN_PORTS": "a:imap,b:imap"})
    assert found.ports == ()
    assert len(problems) == 2
    assert all(problem.endswith("; in force: no port.") for problem in problems)


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
