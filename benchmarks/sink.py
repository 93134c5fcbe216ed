"""An OTLP/HTTP collector that decodes what it gets, and counts it."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, NamedTuple

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest


class Shape(NamedTuple):
    """What two records have in common that say the same: all but their values."""

    kind: str  # span, span event, log record
    name: str
    attributes: tuple[str, ...]  # keys with the types of their values
    has_body: bool
    in_span: bool  # a log record: belongs to a span


class Sink:
    """Counts records by `Shape` while the ``with`` block runs."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._shapes: Counter[Shape] = Counter()
        sink = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                data = self.rfile.read(int(self.headers["Content-Length"]))
                sink.take(self.path, data)
                self.send_response(200)
                self.send_header("Content-Type", "application/x-protobuf")
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Sink:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()

    def take(self, path: str, data: bytes) -> None:
        """Count the records of one request."""
        shapes = _spans(data) if path.endswith("/traces") else _logs(data)
        with self._lock:
            self._shapes.update(shapes)

    def empty(self) -> Counter[Shape]:
        """What has come since the last call."""
        with self._lock:
            shapes, self._shapes = self._shapes, Counter()
        return shapes


def _spans(data: bytes) -> Iterable[Shape]:
    for resource in ExportTraceServiceRequest.FromString(data).resource_spans:
        for scope in resource.scope_spans:
            for span in scope.spans:
                yield Shape("span", span.name, _keys(span.attributes), False, bool(span.parent_span_id))
                for event in span.events:
                    yield Shape("span event", event.name, _keys(event.attributes), False, True)


def _logs(data: bytes) -> Iterable[Shape]:
    for resource in ExportLogsServiceRequest.FromString(data).resource_logs:
        for scope in resource.scope_logs:
            for record in scope.log_records:
                has_body, in_span = record.HasField("body"), bool(record.span_id)
                yield Shape("log record", record.event_name, _keys(record.attributes), has_body, in_span)


def _keys(attributes: Iterable[Any]) -> tuple[str, ...]:
    return tuple(sorted(f"{pair.key}: {pair.value.WhichOneof('value')}" for pair in attributes))
