"""The rules of the gate."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sessionspan.display import display_line
from sessionspan.events import Event, MailReception, MailRejection, Privacy, catalogue
from sessionspan.redaction import clean, policy

VIEWS = policy().at("metadata")
RECEPTION = MailReception(
    spool_id="1",
    sender="a@x.org",
    recipients=("b@y.org", "root"),
    recipient_count=2,
    size=10,
    reception_protocol="ESMTP",
    peer_hostname="alice@client.example",
    response_command=".",
    reply_code=250,
    reply_status="2xx",
    reply_text="queued for b@y.org",
    transaction=1,
    sequence=3,
)


def test_every_privacy_class_has_a_rule_for_both_views() -> None:
    assert set(VIEWS.logs._rules) == set(VIEWS.spans._rules) == set(Privacy)


def test_envelopes_are_whole_in_logs_and_domains_on_spans() -> None:
    in_logs, on_span = VIEWS.logs.redact(RECEPTION), VIEWS.spans.redact(RECEPTION)
    assert in_logs["sessionspan.mail.recipients"] == ("b@y.org", "root")
    assert on_span["sessionspan.mail.recipients"] == ("y.org",)  # a name without a domain may be anything
    assert on_span["sessionspan.mail.sender"] == "x.org"
    assert on_span["sessionspan.peer.hostname"] == "client.example"
    assert in_logs["sessionspan.reply.text"] == "queued for b@y.org"
    assert "sessionspan.reply.text" not in on_span


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain", "plain"),
        ("büro", "büro"),
        ("a\x1b[31mb", "a\\x1b[31mb"),
        ("a\r\nb\0", "a\\r\\nb\\x00"),
        ("\u202eevil", "\\u202eevil"),
        ("\udcff", "\\udcff"),
    ],
)
def test_what_a_terminal_would_obey_is_escaped(text: str, shown: str) -> None:
    assert clean(text) == shown


@given(st.text(), st.integers(4, 200))
def test_clean_text_is_printable_bounded_and_stays_as_it_is(text: str, limit: int) -> None:
    cleaned = clean(text, limit)
    assert cleaned.isprintable()
    assert len(cleaned.encode()) <= limit
    assert clean(cleaned, limit) == cleaned


def test_a_list_is_cut_at_a_hundred() -> None:
    import dataclasses

    long = dataclasses.replace(RECEPTION, recipients=tuple(f"{n}@y" for n in range(500)))
    recipients = VIEWS.logs.redact(long)["sessionspan.mail.recipients"]
    assert isinstance(recipients, tuple)
    assert len(recipients) == 100


@pytest.mark.parametrize("event", catalogue(), ids=lambda event: event.name)
def test_a_display_line_says_at_least_what_happened(event: type[Event]) -> None:
    made: Any = object.__new__(event)
    assert display_line(made, {}) == event.name.removeprefix("sessionspan.")


def test_a_display_line_shows_what_passed_the_gate() -> None:
    event = MailRejection(recipient="b@y.org", response_command="RCPT", reply_code=550, reply_status="5xx")
    assert display_line(event, VIEWS.logs.redact(event)) == "mail.rejection RCPT b@y.org 550"
    assert display_line(event, VIEWS.spans.redact(event)) == "mail.rejection RCPT y.org 550"
