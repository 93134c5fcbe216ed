"""An ordinary mail server, started by `opentelemetry-instrument`: its sessions arrive, and it never notices.

Real programs, real clients, the stock OTLP exporters, a real receiver, and a real collector in between.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import smtplib
import socket
import subprocess
import sysconfig
import textwrap
from collections.abc import Callable, Iterator
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from tests.otlp_receiver import HTTP, PROTOCOLS, Receiver, Span
from tests.programs import PATIENCE, SERVER, Program, send_mail

# A server that stops by itself when its input ends, so that all that it has to say has been said.
STOPS = SERVER.replace("import asyncio\n", "import asyncio, sys\n").replace(
    "await server.serve_forever()", "await loop.run_in_executor(None, sys.stdin.read)"
)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as running:
        yield running


def _transcript(receiver: Receiver) -> list[str]:
    """The log events of one session as short lines."""
    return [_line(event.event, event.attributes) for event in receiver.events]


def _on_span(session: Span) -> list[str]:
    """The span events of a session as short lines."""
    return [_line(name, attributes) for name, attributes in session.events]


def _line(name: str, attributes: Any) -> str:
    shown = [attributes.get(key) for key in ("sessionspan.command.name", "sessionspan.reply.code")]
    return " ".join([name.removeprefix("sessionspan."), *[str(value) for value in shown if value is not None]])


ONE_MAIL = [
    "session.start",
    "command EHLO 250",
    "command MAIL 250",
    "command RCPT 250",
    "mail.reception 250",
    "command DATA 250",
    "command QUIT 221",
    "session.end",
]


def _arrived(receiver: Receiver) -> Span:
    """The one session, after its span and all its events have come in."""
    receiver.wait_until(lambda: receiver.sessions and receiver.named("session.end"), "span and events")
    (session,) = receiver.sessions
    return session


# Servers of one's own, as they are, at the ports that are listed.

OF_ONES_OWN = """
import asyncio, os, socketserver, threading
from asyncio import start_server

GREETING, BYE = b"220 mx.example\\r\\n", b"221 bye\\r\\n"
PORTS = {name: int(port) for name, port in (pair.split("=") for pair in os.environ["OURS"].split(","))}

def answer(line):
    return BYE if line.upper().startswith(b"QUIT") else b"250 ok\\r\\n"

async def serve(reader, writer):
    writer.write(GREETING)
    while line := await reader.readline():
        writer.write(answer(line))
    writer.close()

class Protocol(asyncio.Protocol):
    def connection_made(self, transport):
        self.transport = transport
        transport.write(GREETING)
    def data_received(self, data):
        self.transport.write(answer(data))

class Handler(socketserver.StreamRequestHandler):
    def handle(self):
        self.wfile.write(GREETING)
        for line in self.rfile:
            self.wfile.write(answer(line))

class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = daemon_threads = True

async def main():
    loop = asyncio.get_running_loop()
    servers = [await start_server(serve, "127.0.0.1", PORTS["streams"])]
    servers.append(await loop.create_server(Protocol, "127.0.0.1", PORTS["protocol"]))
    handlers = Server(("127.0.0.1", PORTS["handler"]), Handler)
    threading.Thread(target=handlers.serve_forever, daemon=True).start()
    print("ready", flush=True)
    await servers[0].serve_forever()

asyncio.run(main())
"""


def test_servers_of_ones_own_are_recorded_at_the_listed_ports_without_a_line_of_code(tmp_path, receiver):
    with contextlib.ExitStack() as stack:
        free = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(3)]
        numbers = [each.getsockname()[1] for each in free]
    ports = dict(zip(("streams", "protocol", "handler"), numbers, strict=True))
    listed = {"SESSIONSPAN_PORTS": ",".join(f"{port}:smtp" for port in ports.values())}
    listed["OURS"] = ",".join(f"{name}={port}" for name, port in ports.items())
    with Program(tmp_path, OF_ONES_OWN, receiver.environment() | listed) as program:
        program.wait_for("ready")
        for port in ports.values():
            with smtplib.SMTP("127.0.0.1", port, timeout=PATIENCE) as client:
                client.helo("client.example")
        receiver.wait_for_sessions(3)
    assert {span.attributes["network.local.port"]: span.origin.scope for span in receiver.sessions} == {
        ports["streams"]: "sessionspan_asyncio",
        ports["protocol"]: "sessionspan_asyncio",
        ports["handler"]: "sessionspan_socketserver",
    }
    assert {span.attributes["sessionspan.end_reason"] for span in receiver.sessions} == {"quit"}


# Real clients.


def _with_smtplib(port: int, directory: Path) -> None:
    send_mail(port)


def _with_swaks(port: int, directory: Path) -> None:
    if shutil.which("swaks") is None:
        pytest.skip("swaks is not installed: apt-get install swaks")
    command = ["swaks", "--server", f"127.0.0.1:{port}", "--helo", "client.example"]
    addresses = ["--from", "ann@sender.example", "--to", "bob@example.org"]
    subprocess.run([*command, *addresses], check=True, capture_output=True, timeout=PATIENCE)


def _with_curl(port: int, directory: Path) -> None:
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed: apt-get install curl")
    mail = directory / "mail.eml"
    mail.write_bytes(b"Subject: hello\r\n\r\nhello\r\n")
    command = ["curl", "--silent", "--show-error", "--noproxy", "*", f"smtp://127.0.0.1:{port}/client.example"]
    addresses = ["--mail-from", "ann@sender.example", "--mail-rcpt", "bob@example.org"]
    subprocess.run([*command, *addresses, "--upload-file", mail], check=True, timeout=PATIENCE)


CLIENTS: dict[str, Callable[[int, Path], None]] = {
    "smtplib": _with_smtplib,
    "swaks": _with_swaks,
    "curl": _with_curl,
}


def _assert_the_whole_story(session: Span, receiver: Receiver) -> None:
    assert session.name == "SMTP session"
    assert session.origin.scope == "sessionspan_aiosmtpd"
    assert session.origin.scope_version == metadata.version("sessionspan")
    assert session.parent_id == ""
    attributes = session.attributes
    assert attributes["client.address"] == attributes["client_ip"] == "127.0.0.1"
    assert attributes["network.protocol.name"] == "smtp"
    assert attributes["sessionspan.peer.hostname"] == "client.example"
    assert attributes["sessionspan.mail.accepted.count"] == 1
    assert (attributes["sessionspan.outcome"], attributes["sessionspan.end_reason"]) == ("ok", "quit")
    assert _transcript(receiver) == ONE_MAIL
    assert _on_span(session) == ONE_MAIL
    for event in receiver.events:
        assert (event.trace_id, event.span_id) == (session.trace_id, session.span_id)
        assert event.attributes["sessionspan.session.id"] == attributes["sessionspan.session.id"]
        assert event.time > 0


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_session_of_an_ordinary_server_arrives(tmp_path, receiver, protocol, client):
    with Program(tmp_path, environment=receiver.environment(protocol)) as program:
        CLIENTS[client](program.port, tmp_path)
        _assert_the_whole_story(_arrived(receiver), receiver)


# A real collector.


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


@pytest.fixture
def collector(tmp_path: Path, receiver: Receiver) -> Iterator[dict[str, str]]:
    """A rotel that sends on to the receiver; where it listens, by protocol."""
    spec = find_spec("rotel")
    if spec is None or spec.origin is None:
        pytest.skip("rotel is not installed here: it has wheels for Linux and Python up to 3.13")
    ports = {protocol: _free_port() for protocol in PROTOCOLS}
    options = {
        "--otlp-http-endpoint": f"127.0.0.1:{ports[HTTP]}",
        "--otlp-grpc-endpoint": f"127.0.0.1:{ports['grpc']}",
        "--exporter": "otlp",
        "--otlp-exporter-protocol": "http",
        "--otlp-exporter-endpoint": receiver.http_endpoint,
        "--batch-timeout": "50ms",
        "--pid-file": str(tmp_path / "rotel.pid"),
        "--log-file": str(tmp_path / "rotel.log"),
    }
    agent = Path(spec.origin).with_name("rotel-agent")
    command = [str(agent), "start", *[word for option in options.items() for word in option]]
    with (tmp_path / "rotel.out").open("w") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output)
    try:
        yield {protocol: f"http://127.0.0.1:{port}" for protocol, port in ports.items()}
    finally:
        process.terminate()
        process.wait(PATIENCE)


@pytest.mark.peer
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_session_arrives_through_a_collector(tmp_path, receiver, collector, protocol):
    environment = receiver.environment(protocol) | {"OTEL_EXPORTER_OTLP_ENDPOINT": collector[protocol]}
    with Program(tmp_path, environment=environment) as program:
        send_mail(program.port)
        _assert_the_whole_story(_arrived(receiver), receiver)


# Other vendors, and ours broken.

VENDOR = """
import os, sys
from opentelemetry import trace
from opentelemetry.instrumentation.instrumentor import BaseInstrumentor

class VendorInstrumentor(BaseInstrumentor):
    def instrumentation_dependencies(self):
        return ()

    def _instrument(self, **kwargs):
        ours = sys.modules.get("sessionspan_aiosmtpd")
        print("vendor", "after ours" if ours else "alone", flush=True)
        trace.get_tracer("vendor").start_span("vendor").end()

    def _uninstrument(self, **kwargs):
        pass

def break_ours():
    exec(os.environ.get("BREAK", ""))
"""


def _distribution(directory: Path, name: str, version: str, entry_points: str = "") -> None:
    info = directory / f"{name}-{version}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    (info / "entry_points.txt").write_text(entry_points)


@pytest.fixture
def vendor(tmp_path: Path) -> dict[str, str]:
    """The environment in which another vendor's instrumentor is installed, too, and is asked after ours."""
    early, later = tmp_path / "early", tmp_path / "later"
    hook = "[opentelemetry_pre_instrument]\nbreak_ours = vendor:break_ours\n"
    _distribution(early, "vendor_hook", "1.0", hook)
    _distribution(later, "vendor", "1.0", "[opentelemetry_instrumentor]\nvendor = vendor:VendorInstrumentor\n")
    (early / "vendor.py").write_text(VENDOR)
    # Entry points come in the order of the path: the hook is first, the other instrumentor behind ours.
    return {"PYTHONPATH": os.pathsep.join((str(early), sysconfig.get_path("purelib"), str(later)))}


BREAKS = {
    "it cannot begin": """
        from sessionspan.scope import Scope
        def fails(*args):
            raise RuntimeError("broken on purpose")
        Scope.bind = fails
    """,
    "its patches fail": """
        import sessionspan.instrumentor
        def fails(*args):
            raise RuntimeError("broken on purpose")
        sessionspan.instrumentor._apply = fails
    """,
    "what it looks for is gone": """
        import sessionspan.instrumentor
        sessionspan.instrumentor._find = lambda *args: None
    """,
    "its settings fail": """
        import sessionspan.instrumentor
        def fails():
            raise RuntimeError("broken on purpose")
        sessionspan.instrumentor.settings = fails
    """,
    "it cannot be imported": """
        import sys
        sys.modules["sessionspan_aiosmtpd"] = None
    """,
}


@pytest.mark.parametrize("broken", BREAKS)
def test_other_vendors_and_the_server_run_though_ours_is_broken(tmp_path, receiver, vendor, broken):
    environment = receiver.environment() | vendor | {"BREAK": textwrap.dedent(BREAKS[broken])}
    with Program(tmp_path, STOPS, environment) as program:
        expected = "alone" if broken == "it cannot be imported" else "after ours"
        assert program.wait_for("vendor") == expected
        send_mail(program.port)
        program.close_stdin()
        assert program.wait() == 0
    assert [span.name for span in receiver.spans] == ["vendor"]
    assert receiver.events == []
    told = [line for line in program.stderr.splitlines() if "sessionspan" in line and "CONFIGURATOR" not in line]
    assert told or broken == "it cannot be imported", "it fails without a word"


@pytest.mark.parametrize("version", ["1.2.4", "2.0"])
def test_a_version_outside_of_the_range_is_named_in_one_line_and_not_patched(tmp_path, receiver, vendor, version):
    _distribution(tmp_path / "early", "aiosmtpd", version)
    with Program(tmp_path, STOPS, receiver.environment() | vendor) as program:
        assert program.wait_for("vendor") == "after ours"
        send_mail(program.port)
        program.close_stdin()
        assert program.wait() == 0
    assert [span.name for span in receiver.spans] == ["vendor"]
    (line,) = [line for line in program.stderr.splitlines() if "aiosmtpd" in line]
    assert version in line
    assert "1.4.4" in line
    assert "<2" in line.replace(" ", "")


def test_a_server_without_the_library_hears_nothing_of_it(tmp_path, receiver, vendor):
    source = "import sys; print('modules', *[m for m in sys.modules if m.startswith('aiosmtpd')], flush=True)"
    with Program(tmp_path, source, receiver.environment() | vendor) as program:
        assert program.wait_for("modules") == ""  # not even imported
        assert program.wait() == 0
    assert "aiosmtpd" not in program.stderr


# The switches of OpenTelemetry.


def test_the_instrumentation_can_be_disabled_by_its_name(tmp_path, receiver, vendor):
    environment = receiver.environment() | vendor
    environment["OTEL_PYTHON_DISABLED_INSTRUMENTATIONS"] = "sessionspan_aiosmtpd"
    with Program(tmp_path, STOPS, environment) as program:
        assert program.wait_for("vendor") == "alone"
        send_mail(program.port)
        program.close_stdin()
        assert program.wait() == 0
    assert [span.name for span in receiver.spans] == ["vendor"]
    assert receiver.events == []


def test_a_disabled_sdk_exports_nothing(tmp_path, receiver, vendor):
    environment = receiver.environment() | vendor | {"OTEL_SDK_DISABLED": "true"}
    with Program(tmp_path, STOPS, environment) as program:
        send_mail(program.port)
        program.close_stdin()
        assert program.wait() == 0
    assert receiver.requests == []


@pytest.mark.parametrize(("distro", "configurator"), [("sessionspan", "sessionspan"), ("distro", "configurator")])
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_sessions_are_recorded_the_same_under_either_distro(tmp_path, receiver, protocol, distro, configurator):
    names = {"OTEL_PYTHON_DISTRO": distro, "OTEL_PYTHON_CONFIGURATOR": configurator}
    with Program(tmp_path, environment=receiver.environment(protocol), distro=names) as program:
        send_mail(program.port)
        _assert_the_whole_story(_arrived(receiver), receiver)


def test_sessions_are_recorded_whichever_distro_is_found_first(tmp_path, receiver):
    with Program(tmp_path, environment=receiver.environment(), distro={}) as program:
        send_mail(program.port)
        _assert_the_whole_story(_arrived(receiver), receiver)


def test_the_distro_exports_by_http_to_the_default_port_unless_told_otherwise(tmp_path):
    source = "import os; print('settings', *[os.environ[n] for n in sorted(os.environ) if n.startswith('OTEL_')])"
    with Program(tmp_path, source) as program:
        settings = program.wait_for("settings").split()
    assert sorted(settings) == ["http/protobuf", "otlp", "otlp", "otlp", "sessionspan", "sessionspan"]


# Jaeger.


def test_with_the_jaeger_preset_no_logs_and_no_metrics_leave_and_the_events_are_on_the_span(tmp_path):
    with Receiver(refuses=("logs", "metrics")) as jaeger:
        environment = jaeger.environment() | {"SESSIONSPAN_BACKEND": "jaeger"}
        with Program(tmp_path, STOPS, environment) as program:
            send_mail(program.port)
            jaeger.wait_for_sessions()
            program.close_stdin()
            assert program.wait() == 0
    (session,) = jaeger.sessions
    assert set(jaeger.requests) == {"traces"}
    assert _on_span(session) == ONE_MAIL
    assert "export" not in program.stderr.lower()


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_backend_that_refuses_logs_still_gets_the_events_on_the_span(tmp_path, protocol):
    with Receiver(refuses=("logs", "metrics")) as jaeger:
        with Program(tmp_path, environment=jaeger.environment(protocol)) as program:
            send_mail(program.port)
            (session,) = jaeger.wait_for_sessions()
            jaeger.wait_until(lambda: "logs" in jaeger.requests, "try to send logs")
    assert _on_span(session) == ONE_MAIL


# Settings.

WRONG = {
    "SESSIONSPAN_MAX_EVENT": ("5", "did you mean SESSIONSPAN_MAX_EVENTS?"),
    "SESSIONSPAN_COLOUR": ("blue", "no setting"),
    "SESSIONSPAN_EVENTS": ("loud", "both"),
    "SESSIONSPAN_SIGTERM": ("perhaps", "on"),
    "SESSIONSPAN_PORTS": ("1143:imop", "in force: no port"),
    "SESSIONSPAN_IGNORE_CLIENTS": ("10.0.0.0/8, the moon", "the moon"),
}


@pytest.mark.parametrize("variable", WRONG)
def test_a_wrong_setting_is_told_in_one_line_and_the_default_is_used(tmp_path, receiver, variable):
    value, hint = WRONG[variable]
    with Program(tmp_path, environment=receiver.environment() | {variable: value}) as program:
        send_mail(program.port)
        _assert_the_whole_story(_arrived(receiver), receiver)
        (line,) = [line for line in program.stderr.splitlines() if variable in line]
    assert line.startswith("sessionspan: ")
    assert hint in line


def test_right_settings_are_not_talked_about(tmp_path, receiver):
    right = {"SESSIONSPAN_EVENTS": "logs", "SESSIONSPAN_MAX_EVENTS": "5000", "SESSIONSPAN_SIGTERM": "off"}
    with Program(tmp_path, environment=receiver.environment() | right) as program:
        send_mail(program.port)
        session = _arrived(receiver)
        assert "SESSIONSPAN" not in program.stderr
    assert session.events == []
    assert _transcript(receiver) == ONE_MAIL


# Providers of the application's own.

TRACES = """
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
def set_up_traces():
    provider = TracerProvider()
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    trace.set_tracer_provider(provider)
"""
LOGS = """
from opentelemetry._logs import set_logger_provider
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
def set_up_logs():
    provider = LoggerProvider()
    provider.add_log_record_processor(BatchLogRecordProcessor(OTLPLogExporter()))
    set_logger_provider(provider)
"""
INSTRUMENT = """
from sessionspan_aiosmtpd import AiosmtpdInstrumentor
AiosmtpdInstrumentor().instrument()
"""
SET_UP = "set_up_traces(); set_up_logs()\n"
IMPORT = "import aiosmtpd.smtp\n"

ORDERS = {
    "providers, instrument, import": SET_UP + INSTRUMENT + IMPORT,
    "instrument, providers, import": INSTRUMENT + SET_UP + IMPORT,
    "instrument, import, providers": INSTRUMENT + IMPORT + SET_UP,
    "import, instrument, providers": IMPORT + INSTRUMENT + SET_UP,
    "import, providers, instrument": IMPORT + SET_UP + INSTRUMENT,
}


@pytest.mark.parametrize("order", ORDERS)
def test_sessions_are_recorded_the_same_with_providers_of_the_application(tmp_path, receiver, order):
    source = TRACES + LOGS + ORDERS[order] + SERVER
    with Program(tmp_path, source, receiver.environment(), launcher=False) as program:
        send_mail(program.port)
        _assert_the_whole_story(_arrived(receiver), receiver)


def test_sessions_are_recorded_by_a_provider_that_is_set_in_the_running_loop(tmp_path, receiver):
    source = TRACES + LOGS + INSTRUMENT + SERVER.replace("    loop =", f"    {SET_UP}    loop =")
    with Program(tmp_path, source, receiver.environment(), launcher=False) as program:
        send_mail(program.port)
        _assert_the_whole_story(_arrived(receiver), receiver)


def test_with_a_tracer_provider_only_the_events_are_on_the_span(tmp_path, receiver):
    source = TRACES + "set_up_traces()\n" + INSTRUMENT + SERVER
    with Program(tmp_path, source, receiver.environment(), launcher=False) as program:
        send_mail(program.port)
        (session,) = receiver.wait_for_sessions()
    assert _on_span(session) == ONE_MAIL
    assert receiver.logs == []


def test_with_a_logger_provider_only_the_events_are_in_the_logs(tmp_path, receiver):
    source = LOGS + "set_up_logs()\n" + INSTRUMENT + SERVER
    with Program(tmp_path, source, receiver.environment(), launcher=False) as program:
        send_mail(program.port)
        receiver.wait_for_event("session.end")
    assert _transcript(receiver) == ONE_MAIL
    assert receiver.spans == []


def test_a_server_without_any_provider_serves(tmp_path, receiver):
    with Program(tmp_path, INSTRUMENT + STOPS, receiver.environment(), launcher=False) as program:
        send_mail(program.port)
        program.close_stdin()
        assert program.wait() == 0
    assert receiver.requests == []
    assert program.stderr == ""


def test_a_client_cannot_tell_an_instrumented_server_from_a_bare_one(tmp_path, receiver):
    def dialogue(port: int) -> list[tuple[int, bytes]]:
        with smtplib.SMTP("127.0.0.1", port, local_hostname="client.example", timeout=PATIENCE) as connection:
            lines = ["EHLO client.example", "NONSENSE", "MAIL FROM:<ann@sender.example>", "RCPT TO:<>", "QUIT"]
            return [connection.docmd(line) for line in lines]

    with Program(tmp_path, launcher=False) as bare:
        expected = dialogue(bare.port)
    with Program(tmp_path, environment=receiver.environment()) as program:
        assert dialogue(program.port) == expected
        _arrived(receiver)
