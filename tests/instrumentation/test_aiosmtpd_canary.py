"""No credential leaves aiosmtpd's sessions: every way to send one, searched for in every exported byte."""

from __future__ import annotations

import base64
import contextlib
import logging
from collections.abc import Iterator
from typing import Any

import pytest
from aiosmtpd.smtp import AuthResult
from opentelemetry.exporter.otlp.proto.common._log_encoder import encode_logs
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.instrumentation.logging.handler import LoggingHandler

from sessionspan import settings
from sessionspan.cli.doctor.canary_smtp import authenticate
from sessionspan.cli.doctor.canary_ways import DERIVED, smtp
from sessionspan.testing import Recorder
from sessionspan_aiosmtpd import AiosmtpdInstrumentor
from tests.canary import found_in
from tests.exported import Exported
from tests.instrumentation.kit_aiosmtpd import Client, Handler, serving

SECRET = b"CanaryPassw0rd-7f3a/?=x"
B64 = base64.b64encode


@pytest.fixture
def exported(recorder: Recorder) -> Iterator[Exported]:
    """All of the process's logging at DEBUG goes to OTel, as with opentelemetry-instrumentation-logging."""
    kept = Exported()
    recorder.logger_provider.add_log_record_processor(kept)
    AiosmtpdInstrumentor().instrument(
        tracer_provider=recorder.tracer_provider,
        logger_provider=recorder.logger_provider,
        meter_provider=recorder.meter_provider,
    )
    handler = LoggingHandler(logger_provider=recorder.logger_provider)
    root = logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    logging.getLogger("mail.log").setLevel(logging.DEBUG)
    yield kept
    root.removeHandler(handler)
    root.setLevel(level)
    logging.getLogger("mail.log").setLevel(logging.NOTSET)
    AiosmtpdInstrumentor().uninstrument()


class Mechanisms(Handler):
    """Mechanisms of the application's own, and an authenticator that says too much."""

    async def auth_XOAUTH2(self, server: Any, args: list[str]) -> AuthResult:
        await server.challenge_auth(b"")
        return AuthResult(success=True, auth_data={"token": SECRET})

    async def auth_XSILENT(self, server: Any, args: list[str]) -> AuthResult:
        await server._reader.readline()
        await server._reader.readline()
        return AuthResult(success=False, handled=False)

    async def auth_XRAISES(self, server: Any, args: list[str]) -> AuthResult:
        raise ValueError(f"bad credential {SECRET.decode()}")


PLAIN = B64(b"\0bob\0" + SECRET)
WAYS: dict[str, list[bytes]] = smtp(SECRET) | {
    "own mechanism without challenges": [b"AUTH XSILENT\r\n" + B64(SECRET) + b"\r\n" + SECRET],
    "own mechanism that raises": [b"AUTH XRAISES"],
    "before EHLO": [],
}


def speak(client: Client, way: str) -> None:
    client.read_reply()
    if way == "before EHLO":
        client.command(b"AUTH PLAIN " + PLAIN)
    client.command(b"EHLO client.example")
    for line in WAYS[way]:
        client.send(line + b"\r\n")
        with contextlib.suppress(OSError):
            client.read_reply()
    client.command(b"QUIT")


@pytest.mark.parametrize(("capture", "interactions"), [("metadata", "off"), ("content", "off"), ("content", "on")])
@pytest.mark.parametrize("way", WAYS)
def test_no_credential_leaves(
    recorder: Recorder,
    exported: Exported,
    way: str,
    capture: str,
    interactions: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SESSIONSPAN_CAPTURE", capture)
    monkeypatch.setenv("SESSIONSPAN_INTERACTIONS", interactions)
    settings.reload()
    with serving(Mechanisms(), auth_require_tls=False, authenticator=authenticate, timeout=5) as server:
        speak(server.connect(), way)
        recorder.wait_for_session()
    wire = encode_spans(recorder.spans).SerializeToString() + encode_logs(exported.records).SerializeToString()
    assert b"session.end" in wire  # the haystack is the real one
    assert b"handling connection" in wire
    assert bool(recorder.named("interaction")) == (interactions == "on")
    secrets = [SECRET, *(derive(SECRET) for derive in DERIVED)]
    assert found_in(wire, secrets) == []
    assert found_in(recorder.everything().encode(), secrets) == []


def test_the_search_finds_what_it_is_for() -> None:
    good = B64(b"\0alice\0" + SECRET)
    for form in (SECRET, B64(SECRET), PLAIN, good, B64(b"x" + SECRET), SECRET.hex().encode(), SECRET.upper()):
        assert found_in(b"some " + form + b" bytes", [SECRET])
    assert found_in(b"nothing here", [SECRET]) == []
