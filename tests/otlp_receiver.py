"""A real OTLP receiver for tests: HTTP and gRPC on free ports, decoded with opentelemetry-proto.

It can refuse logs as Jaeger does, and it can hang: accept what is sent and never answer.
"""

from __future__ import annotations

import gzip
import threading
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any

import grpc  # type: ignore[import-untyped]
from opentelemetry.proto.collector.logs.v1 import logs_service_pb2 as logs_pb
from opentelemetry.proto.collector.logs.v1 import logs_service_pb2_grpc as logs_grpc
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2 as metrics_pb
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2_grpc as metrics_grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as trace_pb
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2_grpc as trace_grpc

HTTP = "http/protobuf"
GRPC = "grpc"
PROTOCOLS = (HTTP, GRPC)
PATIENCE = 30.0  # seconds; a bound against hanging, never a measurement


@dataclass(frozen=True)
class Origin:
    """Where telemetry comes from: the program and the instrumentation."""

    resource: Mapping[str, Any]
    scope: str
    scope_version: str
    schema_url: str


@dataclass(frozen=True)
class Span:
    origin: Origin
    name: str
    trace_id: str
    span_id: str
    parent_id: str
    kind: int
    attributes: Mapping[str, Any]
    events: list[tuple[str, Mapping[str, Any]]]


@dataclass(frozen=True)
class Log:
    origin: Origin
    event: str
    body: Any
    trace_id: str
    span_id: str
    time: int
    severity: int
    attributes: Mapping[str, Any]


@dataclass(frozen=True)
class Metric:
    origin: Origin
    name: str


class Receiver:
    """Collects spans, log records and metrics; use it as a context manager."""

    def __init__(self, *, refuses: Collection[str] = (), hangs: bool = False) -> None:
        self.refuses = frozenset(refuses)  # of "traces", "logs", "metrics"
        self.hangs = hangs
        self.requests: list[str] = []  # the signal of each, refused and unanswered ones too
        self.spans: list[Span] = []
        self.logs: list[Log] = []
        self.metrics: list[Metric] = []
        self._changed = threading.Condition()
        self._closed = threading.Event()
        self._http = _HTTPServer(("127.0.0.1", 0), _Handler)
        self._http.receiver = self
        self._grpc = grpc.server(ThreadPoolExecutor(8))
        trace_grpc.add_TraceServiceServicer_to_server(_Service(self, "traces"), self._grpc)
        logs_grpc.add_LogsServiceServicer_to_server(_Service(self, "logs"), self._grpc)
        metrics_grpc.add_MetricsServiceServicer_to_server(_Service(self, "metrics"), self._grpc)
        self.http_endpoint = f"http://127.0.0.1:{self._http.server_port}"
        self.grpc_endpoint = f"http://127.0.0.1:{self._grpc.add_insecure_port('127.0.0.1:0')}"

    def __enter__(self) -> Receiver:
        threading.Thread(target=self._http.serve_forever, args=(0.05,), daemon=True).start()
        self._grpc.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closed.set()  # lets go of those who wait for an answer
        self._http.shutdown()
        self._http.server_close()
        self._grpc.stop(0).wait(5)

    def environment(self, protocol: str = HTTP) -> dict[str, str]:
        """The variables that send a program's telemetry here, promptly."""
        return {
            "OTEL_EXPORTER_OTLP_ENDPOINT": self.http_endpoint if protocol == HTTP else self.grpc_endpoint,
            "OTEL_EXPORTER_OTLP_PROTOCOL": protocol,
            "OTEL_BSP_SCHEDULE_DELAY": "50",
            "OTEL_BLRP_SCHEDULE_DELAY": "50",
        }

    # What a test asks.

    @property
    def sessions(self) -> list[Span]:
        """The session spans, in the order of their arrival."""
        return [span for span in list(self.spans) if "sessionspan.session.id" in span.attributes]

    @property
    def events(self) -> list[Log]:
        """The events of sessions, in the order of their times."""
        return sorted((log for log in list(self.logs) if log.event), key=lambda log: log.time)

    def wait_until(self, condition: Callable[[], object], what: str, timeout: float = PATIENCE) -> None:
        """Wait until *condition* holds; it is asked again whenever something has arrived."""
        deadline = time.monotonic() + timeout
        with self._changed:
            while not condition():
                left = deadline - time.monotonic()
                if left <= 0:
                    names = [span.name for span in self.spans], [log.event or log.body for log in self.logs]
                    raise TimeoutError(f"no {what} within {timeout} s; arrived: {names}")
                self._changed.wait(left)

    def wait_for_sessions(self, count: int = 1) -> list[Span]:
        """Wait for the spans of *count* sessions."""
        self.wait_until(lambda: len(self.sessions) >= count, f"{count} sessions")
        return self.sessions

    def wait_for_event(self, name: str) -> Log:
        """Wait for an event called *name* (without ``sessionspan.``)."""
        self.wait_until(lambda: self.named(name), f"event {name}")
        return self.named(name)[0]

    def named(self, name: str) -> list[Log]:
        """The events called *name* (without ``sessionspan.``)."""
        return [log for log in self.events if log.event == f"sessionspan.{name}"]

    def events_of(self, session: Span) -> list[Log]:
        """The events of *session*, in the order of their times."""
        wanted = session.attributes["sessionspan.session.id"]
        return [log for log in self.events if log.attributes["sessionspan.session.id"] == wanted]

    # What the two servers tell.

    def take(self, signal: str, request: Any) -> None:
        """*request* of *signal* has come in."""
        with self._changed:
            self.requests.append(signal)
            if signal not in self.refuses and not self.hangs:
                _TAKES[signal](self, request)
            self._changed.notify_all()
        if self.hangs:
            self._closed.wait()

    def take_traces(self, request: Any) -> None:
        for resource in request.resource_spans:
            for scope in resource.scope_spans:
                self.spans += [_span(_origin(resource, scope), span) for span in scope.spans]

    def take_logs(self, request: Any) -> None:
        for resource in request.resource_logs:
            for scope in resource.scope_logs:
                self.logs += [_log(_origin(resource, scope), record) for record in scope.log_records]

    def take_metrics(self, request: Any) -> None:
        for resource in request.resource_metrics:
            for scope in resource.scope_metrics:
                origin = _origin(resource, scope)
                self.metrics += [Metric(origin, metric.name) for metric in scope.metrics]


_TAKES: dict[str, Callable[[Receiver, Any], None]] = {
    "traces": Receiver.take_traces,
    "logs": Receiver.take_logs,
    "metrics": Receiver.take_metrics,
}
_REQUESTS: dict[str, Any] = {
    "traces": trace_pb.ExportTraceServiceRequest,
    "logs": logs_pb.ExportLogsServiceRequest,
    "metrics": metrics_pb.ExportMetricsServiceRequest,
}
_RESPONSES: dict[str, Any] = {
    "traces": trace_pb.ExportTraceServiceResponse,
    "logs": logs_pb.ExportLogsServiceResponse,
    "metrics": metrics_pb.ExportMetricsServiceResponse,
}


class _HTTPServer(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128  # many processes may leave at once
    receiver: Receiver

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A program that was killed while it sent is what some tests are about."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _HTTPServer

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        receiver = self.server.receiver
        signal = self.path.removeprefix("/v1/")
        receiver.take(signal, _REQUESTS[signal].FromString(body))
        if receiver.hangs:  # the test is over: not even now an answer
            self.close_connection = True
            return
        answer = b"" if signal in receiver.refuses else _RESPONSES[signal]().SerializeToString()
        self.send_response(404 if signal in receiver.refuses else 200)
        self.send_header("Content-Type", "application/x-protobuf")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, format: str, *args: Any) -> None:
        """Not to stderr."""


class _Service:
    """The servicer of one signal; all three have one method, ``Export``."""

    def __init__(self, receiver: Receiver, signal: str) -> None:
        self._receiver = receiver
        self._signal = signal

    def Export(self, request: Any, context: grpc.ServicerContext) -> Any:
        self._receiver.take(self._signal, request)
        if self._receiver.hangs or self._signal in self._receiver.refuses:
            context.abort(grpc.StatusCode.UNIMPLEMENTED, f"no {self._signal} here")
        return _RESPONSES[self._signal]()


def _origin(resource: Any, scope: Any) -> Origin:
    return Origin(
        _attributes(resource.resource.attributes), scope.scope.name, scope.scope.version, scope.schema_url
    )


def _span(origin: Origin, span: Any) -> Span:
    return Span(
        origin,
        span.name,
        span.trace_id.hex(),
        span.span_id.hex(),
        span.parent_span_id.hex(),
        span.kind,
        _attributes(span.attributes),
        [(event.name, _attributes(event.attributes)) for event in span.events],
    )


def _log(origin: Origin, record: Any) -> Log:
    return Log(
        origin,
        record.event_name,
        _value(record.body),
        record.trace_id.hex(),
        record.span_id.hex(),
        record.time_unix_nano,
        record.severity_number,
        _attributes(record.attributes),
    )


def _attributes(pairs: Iterable[Any]) -> dict[str, Any]:
    return {pair.key: _value(pair.value) for pair in pairs}


def _value(value: Any) -> Any:
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [_value(entry) for entry in value.array_value.values]
    if kind == "kvlist_value":
        return _attributes(value.kvlist_value.values)
    return getattr(value, kind) if kind else None
