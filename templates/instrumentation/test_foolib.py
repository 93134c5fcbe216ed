"""foolib, really serving, and what its sessions say."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import logging
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from opentelemetry.exporter.otlp.proto.common._log_encoder import encode_logs
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.instrumentation.logging.handler import LoggingHandler
from opentelemetry.sdk._logs import LogRecordProcessor, ReadableLogRecord, ReadWriteLogRecord
from sessionspan_foolib import FoolibInstrumentor

from sessionspan.guard import guard
from sessionspan.testing import Recorder
from tests.canary import found_in

foolib: Any = importlib.import_module("foolib")  # so mypy needs no stubs of it
SECRET = b"CanaryPassw0rd-7f3a/?=x"


@pytest.fixture(autouse=True)
def instrumented(recorder: Recorder) -> Iterator[None]:
    """Patched, and nothing of ours fails."""
    before = guard.failures
    FoolibInstrumentor().instrument(
        tracer_provider=recorder.tracer_provider, logger_provider=recorder.logger_provider
    )
    yield
    FoolibInstrumentor().uninstrument()
    assert guard.failures == before


class Client:
    """Speaks raw lines, so that the bytes on the wire are the test's own."""

    def __init__(self, address: tuple[str, int]) -> None:
        self.socket = socket.create_connection(address, 10)
        self.address = self.socket.getsockname()
        self._file = self.socket.makefile("rb")

    def command(self, line: bytes) -> bytes:
        """Send *line*, return the reply."""
        self.socket.sendall(line + b"\r\n")
        return self.read_reply()

    def read_reply(self) -> bytes:
        """A line of the server; b"" at the end."""
        return self._file.readline().rstrip(b"\r\n")

    def reset(self) -> None:
        """Close with a RST instead of a FIN."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.close()

    def close(self) -> None:
        """Close as one does."""
        self._file.close()
        self.socket.close()


@contextlib.contextmanager
def serving() -> Iterator[Callable[[], Client]]:
    """Serve in a thread of its own on a free port; gives what connects a client, after the greeting."""
    loop = asyncio.new_event_loop()
    server = loop.run_until_complete(asyncio.start_server(foolib.Server().serve, "127.0.0.1", 0))
    thread = threading.Thread(target=loop.run_forever)
    thread.start()

    def connect() -> Client:
        client = Client(server.sockets[0].getsockname())
        assert client.read_reply().startswith(b"220")
        return client

    async def stop() -> None:
        server.close()
        served = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in served:
            task.cancel()
        await asyncio.gather(*served, return_exceptions=True)

    try:
        yield connect
    finally:
        asyncio.run_coroutine_threadsafe(stop(), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def ended(recorder: Recorder) -> tuple[Any, Any]:
    """Outcome and reason of the one session."""
    attributes = recorder.wait_for_session().attributes or {}
    return attributes["sessionspan.outcome"], attributes["sessionspan.end_reason"]


def test_a_session_is_one_span_with_an_event_per_step(recorder: Recorder) -> None:
    """One whole session as a transcript."""
    with serving() as connect:
        client = connect()
        client.command(b"EHLO client.example")
        client.command(b"QUIT")
        session = recorder.wait_for_session()
    assert recorder.transcript() == ["session.start", "command EHLO 250", "command QUIT 221", "session.end"]
    attributes = session.attributes or {}
    assert (attributes["client.address"], attributes["client.port"]) == client.address
    assert attributes["sessionspan.end_reason"] == "quit"


def test_a_client_that_goes_without_quit_is_peer_eof(recorder: Recorder) -> None:
    """The first way to end."""
    with serving() as connect:
        connect().close()
        assert ended(recorder) == ("ok", "peer_eof")


def test_a_reset_is_peer_reset(recorder: Recorder) -> None:
    """The second."""
    with serving() as connect:
        connect().reset()
        assert ended(recorder) == ("ok", "peer_reset")


def test_a_stopped_server_is_shutdown(recorder: Recorder) -> None:
    """The third; your library has more: timeouts, limits, TLS failures."""
    with serving() as connect:
        client = connect()
    assert ended(recorder) == ("ok", "shutdown")
    client.close()


def test_two_hundred_sessions_at_once_are_not_mixed(recorder: Recorder) -> None:
    """Each says its own name."""
    with serving() as connect:
        clients = [connect() for _ in range(200)]
        for client in clients:
            client.socket.sendall(b"EHLO host%d\r\n" % client.address[1])
        for client in clients:
            client.read_reply()
            client.close()
        sessions = recorder.wait_for_sessions(200)
    for session in sessions:
        attributes = session.attributes or {}
        assert attributes["sessionspan.peer.hostname"] == f"host{attributes['client.port']}"


class Exported(LogRecordProcessor):
    """Keeps every log record, events and stdlib lines, as an exporter would get it."""

    def __init__(self) -> None:
        self.records: list[ReadableLogRecord] = []

    def on_emit(self, log_record: ReadWriteLogRecord) -> None:
        """Keep it."""
        assert log_record.resource is not None
        self.records.append(
            ReadableLogRecord(log_record.log_record, log_record.resource, log_record.instrumentation_scope)
        )

    def shutdown(self) -> None:
        """Nothing to do."""

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        """Nothing is queued."""
        return True


@pytest.fixture
def exported(recorder: Recorder) -> Iterator[Exported]:
    """All of the process's logging at DEBUG goes to OTel, as with opentelemetry-instrumentation-logging."""
    kept = Exported()
    recorder.logger_provider.add_log_record_processor(kept)
    handler, root = LoggingHandler(logger_provider=recorder.logger_provider), logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    yield kept
    root.removeHandler(handler)
    root.setLevel(level)


@pytest.mark.parametrize("line", [b"AUTH PLAIN " + SECRET, SECRET, b"PASS " + SECRET])
def test_no_credential_leaves(recorder: Recorder, exported: Exported, line: bytes) -> None:
    """Every way to send one, the wrong moments too, with all settings that show more."""
    with serving() as connect:
        client = connect()
        client.command(line)
        client.command(b"QUIT")
        recorder.wait_for_session()
    wire = encode_spans(recorder.spans).SerializeToString() + encode_logs(exported.records).SerializeToString()
    assert b"session.end" in wire  # the haystack is the real one
    assert found_in(wire, [SECRET]) == []
