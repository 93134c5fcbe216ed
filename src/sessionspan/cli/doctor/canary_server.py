"""The canary's program: real servers under our patches, every way to send them a password, and a search.

It runs in an interpreter of its own, without the launcher: exporters are in memory, nothing leaves. Prints JSON.
"""

from __future__ import annotations

import base64
import contextlib
import importlib
import importlib.util
import json
import logging
import os
import secrets
import socket
import sys
from collections.abc import Callable, Iterator
from importlib import metadata
from typing import Any, Final, NamedTuple

from opentelemetry.exporter.otlp.proto.common._log_encoder import encode_logs
from opentelemetry.exporter.otlp.proto.common.metrics_encoder import encode_metrics
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.instrumentation.logging.handler import LoggingHandler
from opentelemetry.sdk._logs import LogRecordProcessor, ReadableLogRecord, ReadWriteLogRecord
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from sessionspan import own
from sessionspan.canary import encodings, found_in
from sessionspan.cli.doctor import canary_ways
from sessionspan.cli.doctor.canary_ways import Ways
from sessionspan.testing import Recorder

MARK: Final = "sessionspan-canary:"
_PATIENCE: Final = 5.0  # seconds that a reply may take


class Stage(NamedTuple):
    """A server, and how passwords are sent to it."""

    protocol: str
    module: str  # of this package: `serving`
    server: str  # for people
    ways: Callable[[bytes], Ways]
    greeting: tuple[bytes, ...] = ()  # what a client says first
    library: str | None = None  # that has to be installed, and has an instrumentation


STAGES: Final = (
    Stage("SMTP", "canary_smtp", "aiosmtpd", canary_ways.smtp, (b"EHLO client.test",), "aiosmtpd"),
    Stage("POP3", "canary_pop3", "a server of one's own", canary_ways.pop3),
)


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


def _speak(port: int, lines: tuple[bytes, ...]) -> None:
    with socket.create_connection(("127.0.0.1", port), _PATIENCE) as connection:
        answers = connection.makefile("rb")
        for line in (None, *lines, b"QUIT"):
            if line is not None:
                with contextlib.suppress(OSError):  # the server may have had enough
                    connection.sendall(line + b"\r\n")
            while (answer := answers.readline())[3:4] == b"-":
                pass
            if not answer:
                return
        with contextlib.suppress(OSError):
            while answers.readline():  # to what was sent at once
                pass


@contextlib.contextmanager
def _logging_to(recorder: Recorder) -> Iterator[None]:
    """All of the process's logging goes to OpenTelemetry, at DEBUG; nothing to stderr."""
    handler = LoggingHandler(logger_provider=recorder.logger_provider)
    for logger in (logging.getLogger(), logging.getLogger("mail.log")):
        logger.setLevel(logging.DEBUG)
    logging.getLogger().handlers[:] = [handler]
    yield
    logging.getLogger().removeHandler(handler)


def _is_here(stage: Stage) -> bool:
    return stage.library is None or importlib.util.find_spec(stage.library) is not None


def _instrument(stages: list[Stage], providers: dict[str, Any]) -> None:
    own.scope()
    own.SCOPE.bind(*providers.values())
    for stage in stages:
        if stage.library is not None:
            name = f"sessionspan_{stage.library}"
            (point,) = metadata.entry_points(group="opentelemetry_instrumentor", name=name)
            point.load()().instrument(**providers)


def _try(stage: Stage, recorder: Recorder) -> dict[str, bytes]:
    """Send a password of its own in each way; which it was."""
    marked = {way: b"Canary-" + secrets.token_hex(8).encode() + b"/?=x" for way in stage.ways(b"")}
    serving = importlib.import_module(f"sessionspan.cli.doctor.{stage.module}").serving
    before = len(recorder.sessions)
    with serving() as port:
        for way, secret in marked.items():
            _speak(port, (*stage.greeting, *stage.ways(secret)[way]))
        recorder.wait_for_sessions(before + len(marked))
    return {f"{stage.protocol}: {way}": secret for way, secret in marked.items()}


def _encoded(marked: dict[str, bytes]) -> bytes:
    """One of the passwords as it must not leave."""
    return base64.b64encode(b"x" + next(iter(marked.values())))


def try_all() -> dict[str, Any]:
    """Send marked passwords to all servers that there are, and search everything that was exported for them."""
    recorder, exported, reader = Recorder(), _Exported(), InMemoryMetricReader()
    recorder.logger_provider.add_log_record_processor(exported)
    providers = {
        "tracer_provider": recorder.tracer_provider,
        "logger_provider": recorder.logger_provider,
        "meter_provider": MeterProvider([reader], shutdown_on_exit=False),
    }
    stages = [stage for stage in STAGES if _is_here(stage)]
    _instrument(stages, providers)
    with _logging_to(recorder):
        marked = {stage: _try(stage, recorder) for stage in stages}
    wire = encode_spans(recorder.spans).SerializeToString() + encode_logs(exported.records).SerializeToString()
    data = reader.get_metrics_data()
    wire += encode_metrics(data).SerializeToString() if data is not None else b""
    everything = {way: secret for found in marked.values() for way, secret in found.items()}
    looked_for = {
        way: [secret, *(derive(secret) for derive in canary_ways.DERIVED)] for way, secret in everything.items()
    }
    return {
        "ways": len(everything),
        "servers": [f"{stage.protocol}, {stage.server}: {len(found)}" for stage, found in marked.items()],
        "absent": [stage.library for stage in STAGES if stage not in stages],
        "bytes": len(wire),
        "spans": len(recorder.sessions),
        "records": len(exported.records),
        "forms": len(list(encodings(b"password"))),
        "leaks": [way for way, forms in looked_for.items() if found_in(wire, forms)],
        # The search finds what is there: the haystack is the real one.
        "control": b"session.end" in wire and bool(found_in(wire + _encoded(everything), [*everything.values()])),
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
