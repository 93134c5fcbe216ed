"""The privacy classes: each switched, all events driven, every exported byte searched."""

from __future__ import annotations

import hashlib
import hmac
import logging
from collections.abc import Iterator

import pytest
from opentelemetry.instrumentation.logging.handler import LoggingHandler
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF

from sessionspan import exported_logs, own, session, settings, stamping
from sessionspan.events import (
    AuthFailure,
    AuthSuccess,
    Command,
    Interaction,
    MailReception,
    MailRejection,
    SessionException,
    StoreMessageDelete,
    StoreMessageOpen,
    StoreUserModify,
    TLSEstablished,
)
from sessionspan.session import Session
from sessionspan.testing import Recorder

KEY = "0123456789abcdef0123456789abcdef"


@pytest.fixture(autouse=True)
def exporting(recorder: Recorder) -> Iterator[None]:
    own.SCOPE.bind(recorder.tracer_provider, recorder.logger_provider)
    stamping.install()
    exported_logs.install()
    handler = LoggingHandler(logger_provider=recorder.logger_provider)
    logging.getLogger("shop").addHandler(handler)
    logging.getLogger("shop").setLevel(logging.INFO)
    yield
    logging.getLogger("shop").removeHandler(handler)
    logging.getLogger("shop").setLevel(logging.NOTSET)
    stamping.uninstall()
    own.SCOPE.unbind()


def drive(**chosen: str) -> Session:
    """A session with every event that the catalogue has for SMTP, each text marked by its class."""
    patch = pytest.MonkeyPatch()
    for name, value in chosen.items():
        patch.setenv(f"SESSIONSPAN_{name.upper()}", value)
    settings.reload()
    try:
        with session("SMTP", peer=("192.0.2.77", 40000)) as s:
            s.set_proxy("proxy_v1", s.peer._replace(host="198.51.100.77"))
            s.record(TLSEstablished(mode="starttls", client_subject="CN=identity-subject"))
            s.record(Command(command="EHLO", sequence=1, peer_hostname="envelope-host.example"))
            s.record(AuthFailure(mechanism="PLAIN", user_name="envelope-attempt@dom-f.example"))
            s.record(
                AuthSuccess(identity="identity-user", mechanism="PLAIN", user_name="identity-authc@dom-a.example")
            )
            logging.getLogger("shop").info("an application's line")
            s.record(
                Command(
                    command="MAIL", sequence=2, envelope_text="FROM:<envelope-text@x>", reply_text="content-r1"
                )
            )
            s.record(Command(command="HELP", sequence=3, text="content-command", reply_text="content-r2"))
            s.record(
                Interaction(input_size=1, output_size=1, input_text="content-input", output_text="content-output")
            )
            s.record(
                MailReception(
                    spool_id="1",
                    sender="envelope-sender@dom-s.example",
                    recipients=("envelope-to@dom-t.example",),
                    recipient_count=1,
                    size=3,
                    reception_protocol="ESMTP",
                    peer_hostname="envelope-host.example",
                    response_command=".",
                    reply_code=250,
                    reply_status="2xx",
                    reply_text="ok envelope-remark",
                    transaction=1,
                    sequence=2,
                )
            )
            s.record(
                MailRejection(
                    sender="envelope-sender@dom-s.example",
                    recipient="envelope-nobody@dom-t.example",
                    reception_protocol="ESMTP",
                    response_command="RCPT",
                    reply_code=550,
                    reply_status="5xx",
                    reply_text="envelope-remark unknown",
                )
            )
            s.record(
                StoreMessageOpen(mailbox="envelope-mailbox", uid="7", message_id="envelope-message@dom-m.example")
            )
            s.record(StoreMessageDelete(mailbox="envelope-mailbox", uid="7"))
            s.record(StoreUserModify(user="identity-account", profile=("envelope-profile",)))
            s.record(SessionException(exception_type="ValueError"))
    finally:
        patch.undo()
        settings.reload()
    return s


IDENTITY = (
    "identity-user",
    "identity-authc",
    "identity-subject",
    "identity-account",
    "192.0.2.77",
    "198.51.100.77",
)
ENVELOPE = (
    "envelope-sender",
    "envelope-to",
    "envelope-nobody",
    "envelope-attempt",
    "envelope-remark",
    "envelope-host",
    "envelope-text",
    "envelope-mailbox",
    "envelope-message",
    "envelope-profile",
)
DOMAINS = ("dom-s.example", "dom-t.example", "dom-f.example", "dom-m.example")
COMMANDS = ("content-command",)
CONTENT = ("content-r1", "content-r2", "content-input", "content-output")


def on_spans(recorder: Recorder) -> str:
    return repr([(dict(s.attributes or {}), [dict(e.attributes or {}) for e in s.events]) for s in recorder.spans])


def in_logs(recorder: Recorder) -> str:
    return repr([(e.attributes, e.body) for e in recorder.events]) + repr(
        [(dict(r.log_record.attributes or {}), r.log_record.body) for r in recorder.logs]
    )


def found(text: str, words: tuple[str, ...]) -> list[str]:
    return [word for word in words if word in text]


def test_by_default_logs_have_envelopes_spans_their_domains_and_nobody_content(recorder: Recorder) -> None:
    drive()
    logs, spans = in_logs(recorder), on_spans(recorder)
    assert found(logs, IDENTITY) == found(spans, IDENTITY) == list(IDENTITY)
    assert found(logs, ENVELOPE) == [word for word in ENVELOPE if word != "envelope-text"]
    assert found(spans, ENVELOPE) == ["envelope-host"]
    assert found(spans, DOMAINS) == list(DOMAINS)
    assert found(logs + spans, COMMANDS + CONTENT) == []


def test_identity_off_leaves_no_address_and_no_user_anywhere(recorder: Recorder) -> None:
    drive(identity="off")
    assert found(recorder.everything(), IDENTITY) == []
    assert found(in_logs(recorder), ENVELOPE)  # the other classes are as they were


def test_identity_hashed_is_the_same_keyed_hash_everywhere(recorder: Recorder) -> None:
    drive(identity="hash", hash_key=KEY)
    assert found(recorder.everything(), IDENTITY) == []
    user = hmac.new(KEY.encode(), b"identity-user", hashlib.sha256).hexdigest()
    client = hmac.new(KEY.encode(), b"198.51.100.77", hashlib.sha256).hexdigest()
    attributes = recorder.wait_for_session().attributes or {}
    assert attributes["user.hash"] == user
    assert attributes["sessionspan.client.hash"] == client
    assert not {"user.name", "username", "client_ip", "client.address", "network.peer.address"} & set(attributes)
    after = recorder.named("mail.reception")[0]
    assert (after["user.hash"], after["sessionspan.client.hash"]) == (user, client)
    assert user in recorder.named("auth.success")[0].attributes.values()
    assert KEY not in recorder.everything()


@pytest.mark.parametrize(
    ("value", "words", "domains"),
    [("domain", ["envelope-host"], list(DOMAINS)), ("off", [], []), ("hash", [], [])],
)
def test_envelopes_obey_in_logs_and_on_spans_alike(
    recorder: Recorder, value: str, words: list[str], domains: list[str]
) -> None:
    drive(envelope=value, hash_key=KEY, capture="content")
    for view in (in_logs(recorder), on_spans(recorder)):
        assert found(view, ENVELOPE) == words
        assert found(view, DOMAINS) == domains
        assert found(view, ("identity-user",))


def test_hashed_envelopes_can_be_joined(recorder: Recorder) -> None:
    drive(envelope="hash", hash_key=KEY)
    sender = hmac.new(KEY.encode(), b"envelope-sender@dom-s.example", hashlib.sha256).hexdigest()
    assert recorder.named("mail.reception")[0]["sessionspan.mail.sender.hash"] == sender
    assert recorder.named("mail.rejection")[0]["sessionspan.mail.sender.hash"] == sender
    recipients = recorder.named("mail.reception")[0]["sessionspan.mail.recipients.hash"]
    assert isinstance(recipients, tuple)
    assert len(recipients[0]) == 64


@pytest.mark.parametrize(
    ("level", "shown"),
    [("metadata", []), ("commands", [*COMMANDS]), ("content", [*COMMANDS, *CONTENT])],
)
def test_capture_shows_what_it_says(recorder: Recorder, level: str, shown: list[str]) -> None:
    drive(capture=level)
    assert found(in_logs(recorder), COMMANDS + CONTENT) == shown
    assert found(on_spans(recorder), COMMANDS + CONTENT) == shown
    # The text of MAIL is an envelope, too: whole in logs, not on spans.
    assert ("envelope-text" in in_logs(recorder)) is (level != "metadata")
    assert "envelope-text" not in on_spans(recorder)


def test_capture_off_counts_commands_only(recorder: Recorder) -> None:
    drive(capture="off")
    assert recorder.named("command") == []
    assert len(recorder.named("mail.reception")) == 1
    assert recorder.named("store.message.open") == []
    assert len(recorder.named("store.message.delete")) == 1
    assert (recorder.wait_for_session().attributes or {})["sessionspan.command.count"] == 3


@pytest.mark.parametrize("name", ["identity", "envelope"])
def test_a_hash_without_a_key_is_off(recorder: Recorder, name: str, caplog: pytest.LogCaptureFixture) -> None:
    drive(**{name: "hash"})
    assert found(recorder.everything(), IDENTITY if name == "identity" else ENVELOPE) == []
    assert f"SESSIONSPAN_{name.upper()}=hash needs SESSIONSPAN_HASH_KEY" in caplog.text


def test_a_short_key_is_refused_and_never_shown(recorder: Recorder, caplog: pytest.LogCaptureFixture) -> None:
    drive(identity="hash", hash_key="short-secret")
    assert "SESSIONSPAN_HASH_KEY: it must have 16 bytes or more" in caplog.text
    assert "short-secret" not in caplog.text
    assert found(recorder.everything(), IDENTITY) == []


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (
            "audit",
            [
                "auth.failure _OTHER",
                "auth.success identity-user",
                "mail.reception envelope-to@dom-t.example",
                "mail.rejection RCPT 550",
                "store.message.open envelope-mailbox 7",
                "store.message.delete envelope-mailbox 7",
                "store.user.modify",
                "session.exception ValueError",
                "auth.end identity-user",
                "session.end",
            ],
        ),
        ("none", []),
    ],
)
def test_unsampled_sessions_say_what_the_setting_says(recorder: Recorder, value: str, told: list[str]) -> None:
    unsampling = TracerProvider(sampler=ALWAYS_OFF, shutdown_on_exit=False)
    own.SCOPE.bind(unsampling, recorder.logger_provider)
    drive(unsampled=value)
    assert recorder.transcript() == told


def test_unsampled_all_says_everything(recorder: Recorder) -> None:
    unsampling = TracerProvider(sampler=ALWAYS_OFF, shutdown_on_exit=False)
    own.SCOPE.bind(unsampling, recorder.logger_provider)
    drive(unsampled="all")
    assert len(recorder.events) == 16


def test_without_any_tracing_a_session_is_not_unsampled(recorder: Recorder) -> None:
    from opentelemetry.trace import NoOpTracerProvider

    own.SCOPE.bind(NoOpTracerProvider(), recorder.logger_provider)
    drive(unsampled="none")
    assert len(recorder.events) == 16
