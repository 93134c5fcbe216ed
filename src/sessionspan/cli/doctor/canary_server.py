"""The canary's program: a real aiosmtpd server under our patches, every way to send a password, and a search.

It runs in an interpreter of its own, without the launcher: exporters are in memory, nothing leaves. Prints JSON.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import logging
import os
import secrets
import socket
import sys
import threading
from collections.abc import Iterator
from importlib import metadata
from typing import Any, Final

from aiosmtpd.smtp import SMTP, AuthResult
from opentelemetry.exporter.otlp.proto.common._log_encoder import encode_logs
from opentelemetry.exporter.otlp.proto.common.metrics_encoder import encode_metrics
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.instrumentation.logging.handler import LoggingHandler
from opentelemetry.sdk._logs import LogRecordProcessor, ReadableLogRecord, ReadWriteLogRecord
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from sessionspan.canary import encodings, found_in
from sessionspan.testing import Recorder

MARK: Final = "sessionspan-canary:"
_PATIENCE: Final = 5.0  # seconds that a reply may take
_b64: Final = base64.b64encode


def ways(secret: bytes) -> dict[str, list[bytes]]:
    """Every way to send *secret* to an SMTP server, the mistaken ones too: what a client says after EHLO."""
    refused, accepted = _b64(b"\0bob\0" + secret), _b64(b"\0alice\0" + secret)
    bob, alice, encoded = _b64(b"bob"), _b64(b"alice"), _b64(secret)
    return {
        "PLAIN, refused": [b"AUTH PLAIN " + refused],
        "PLAIN, accepted": [b"AUTH PLAIN " + accepted],
        "PLAIN, after the challenge": [b"AUTH PLAIN", accepted],
        "PLAIN, for somebody else": [b"AUTH PLAIN " + _b64(b"carol\0bob\0" + secret)],
        "PLAIN, not encoded": [b"AUTH PLAIN", secret],
        "PLAIN, a word too many": [b"AUTH PLAIN " + refused + b" " + secret],
        "PLAIN, twice": [b"AUTH PLAIN " + accepted, b"AUTH PLAIN " + accepted],
        "LOGIN, refused": [b"AUTH LOGIN", bob, encoded],
        "LOGIN, accepted": [b"AUTH LOGIN", alice, encoded],
        "LOGIN, user at once": [b"AUTH LOGIN " + bob, encoded],
        "LOGIN, not encoded": [b"AUTH LOGIN", b"bob", secret],
        "LOGIN, cancelled, password too late": [b"AUTH LOGIN", b"*", encoded],
        "LOGIN, password again": [b"AUTH LOGIN", bob, encoded, encoded],
        "a bearer token": [b"AUTH XOAUTH2 " + _b64(b"user=a\x01auth=Bearer " + secret + b"\x01\x01")],
        "an unknown mechanism": [b"AUTH X-NONE " + encoded],
        "as the mechanism": [b"AUTH " + encoded],
        "as a command": [secret, encoded, refused],
        "to another protocol's command": [b"PASS " + secret, b"LOGIN bob " + secret],
        "in a message": [
            b"MAIL FROM:<a@b.test>",
            b"RCPT TO:<c@d.test>",
            b"DATA",
            secret + b"\r\n" + encoded + b"\r\n.",
        ],
    }


class _Exported(LogRecordProcessor):
    """Keeps every log record as an exporter would get it."""

    def __init__(self) -> None:
        self.records: list[ReadableLogRecord] = []

    def on_emit(self, log_record: ReadWriteLogRecord) -> None:
        """A record was emitted: an event, or a line of a log."""
        assert log_record.resource is not None
        self.records.append(
            ReadableLogRecord(log_record.log_record, log_record.resource, log_record.instrumentation_scope)
        )

    def shutdown(self) -> None:
        """Nothing to do."""

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        """Nothing is queued."""
        return True


class _Handler:
    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        return "250 2.0.0 OK"


def _authenticate(server: Any, session: Any, envelope: Any, mechanism: str, data: Any) -> AuthResult:
    """Accepts alice; refuses others, and its message quotes the password, as careless servers do."""
    if data.login == b"alice":
        return AuthResult(success=True, auth_data=data)
    return AuthResult(success=False, handled=False, message=f"535 5.7.8 {data.password.decode()} is wrong")


@contextlib.contextmanager
def _serving() -> Iterator[int]:
    """Serve on a free port of loopback, and say which."""
    loop = asyncio.new_event_loop()

    def connection() -> SMTP:
        return SMTP(
            _Handler(), hostname="canary.test", loop=loop, auth_require_tls=False, authenticator=_authenticate
        )

    server = loop.run_until_complete(loop.create_server(connection, "127.0.0.1", 0))
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(_PATIENCE)


def _speak(port: int, lines: list[bytes]) -> None:
    with socket.create_connection(("127.0.0.1", port), _PATIENCE) as connection:
        answers = connection.makefile("rb")
        for line in (None, b"EHLO client.test", *lines, b"QUIT"):
            if line is not None:
                with contextlib.suppress(OSError):  # the server may have had enough
                    connection.sendall(line + b"\r\n")
            while (answer := answers.readline())[3:4] == b"-":
                pass
            if not answer:
                return


@contextlib.contextmanager
def _logging_to(recorder: Recorder) -> Iterator[None]:
    """All of the process's logging goes to OpenTelemetry, at DEBUG; nothing to stderr."""
    handler = LoggingHandler(logger_provider=recorder.logger_provider)
    for logger in (logging.getLogger(), logging.getLogger("mail.log")):
        logger.setLevel(logging.DEBUG)
    logging.getLogger().handlers[:] = [handler]
    yield
    logging.getLogger().removeHandler(handler)


def try_all() -> dict[str, Any]:
    """Send a marked password in every way, each its own, and search everything that was exported for it."""
    recorder, exported, reader = Recorder(), _Exported(), InMemoryMetricReader()
    recorder.logger_provider.add_log_record_processor(exported)
    (point,) = metadata.entry_points(group="opentelemetry_instrumentor", name="sessionspan_aiosmtpd")
    point.load()().instrument(
        tracer_provider=recorder.tracer_provider,
        logger_provider=recorder.logger_provider,
        meter_provider=MeterProvider([reader], shutdown_on_exit=False),
    )
    marked = {way: b"Canary-" + secrets.token_hex(8).encode() + b"/?=x" for way in ways(b"")}
    with _serving() as port, _logging_to(recorder):
        for way, secret in marked.items():
            _speak(port, ways(secret)[way])
        recorder.wait_for_sessions(len(marked))
    wire = encode_spans(recorder.spans).SerializeToString() + encode_logs(exported.records).SerializeToString()
    data = reader.get_metrics_data()
    wire += encode_metrics(data).SerializeToString() if data is not None else b""
    return {
        "ways": len(marked),
        "bytes": len(wire),
        "spans": len(recorder.sessions),
        "records": len(exported.records),
        "forms": len(list(encodings(b"password"))),
        "leaks": [way for way, secret in marked.items() if found_in(wire, [secret])],
        # The search finds what is there: the haystack is the real one.
        "control": b"session.end" in wire and bool(found_in(wire + _b64(b"x" + secret), [secret])),
    }


def main() -> None:
    """Print what came of it."""
    try:
        told = try_all()
    except Exception as error:  # noqa: BLE001 - it is told
        told = {"broken": f"{type(error).__name__}: {error}"}
    sys.stdout.write("\n" + MARK + json.dumps(told) + "\n")
    sys.stdout.flush()
    os._exit(0)
