"""`sessionspan doctor`: every symptom that a look can find is found, with what to do; and no secret is shown.

Each situation is set up for real: an environment, an interpreter, an installed package, a server that refuses.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import ssl
import subprocess
import sys
import sysconfig
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import trustme

from sessionspan.cli.doctor.exporting import JUDGEMENTS
from tests.canary import found_in
from tests.otlp_receiver import GRPC, HTTP, Receiver
from tests.programs import clean_environment

ROOT = Path(__file__).parent.parent
DEAD = "http://127.0.0.1:9"  # the discard port: nothing listens there


@dataclass
class Told:
    """What the doctor said."""

    code: int
    text: str
    errors: str
    answer: dict[str, Any] = field(default_factory=dict)

    def of(self, id: str) -> list[dict[str, str]]:
        return [finding for finding in self.answer["findings"] if finding["id"] == id]

    def one(self, id: str) -> dict[str, str]:
        found = self.of(id)
        assert found, f"no {id}; said: {self.text}\n{self.errors}"
        return found[0]

    def ids(self, level: str) -> set[str]:
        return {finding["id"] for finding in self.answer["findings"] if finding["level"] == level}


def doctor(
    *words: object, environ: Mapping[str, str] | None = None, options: tuple[str, ...] = ("--json",)
) -> Told:
    """Run it as a user does whose environment has nothing of OpenTelemetry but *environ*."""
    inherited = {name: value for name, value in clean_environment().items() if name != "VIRTUAL_ENV"}
    done = subprocess.run(
        [sys.executable, "-m", "sessionspan.cli", "doctor", *options, *map(str, words)],
        env=inherited | dict(environ or {}),
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=90,
    )
    told = Told(done.returncode, done.stdout, done.stderr)
    if "--json" in options:
        assert done.stdout, done.stderr
        told.answer = json.loads(done.stdout)
    return told


@pytest.fixture(scope="module")
def receiver() -> Iterator[Receiver]:
    with Receiver() as running:
        yield running


@pytest.fixture(scope="module")
def bare_python(tmp_path_factory) -> Path:
    """An interpreter that has nothing installed."""
    folder = tmp_path_factory.mktemp("bare") / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True, timeout=60)
    return Path(folder, "bin", "python")


@pytest.fixture
def stack() -> Iterator[contextlib.ExitStack]:
    with contextlib.ExitStack() as running:
        yield running


@pytest.fixture
def server_py(tmp_path: Path) -> Path:
    path = tmp_path / "my_server.py"
    path.write_text("raise SystemExit('this program is never run')\n")
    return path


# All well.


@pytest.mark.parametrize("protocol", [HTTP, GRPC])
def test_all_is_well_when_everything_is_taken(receiver, server_py, protocol):
    told = doctor("python", server_py, environ=receiver.environment(protocol))
    assert (told.code, told.answer["level"]) == (0, "ok"), told.text
    assert "all 10 patches are in place" in told.one("library")["what"]
    assert "my_server" in told.one("service.name")["what"]
    assert [each["signal"] for each in told.answer["signals"]] == ["traces", "logs", "metrics"]
    assert {each["outcome"] for each in told.answer["signals"]} == {"accepted"}
    assert {each["protocol"] for each in told.answer["signals"]} == {protocol}


def test_the_stock_launcher_is_looked_at_as_it_would_run(receiver, server_py):
    words = ["opentelemetry-instrument", "--service_name", "mx7", "python", str(server_py)]
    path = {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    ours = {"OTEL_PYTHON_DISTRO": "sessionspan", "OTEL_PYTHON_CONFIGURATOR": "sessionspan"}
    told = doctor(*words, environ=receiver.environment() | path | ours)
    assert told.code == 0, told.text
    assert told.answer["launcher"] == "opentelemetry-instrument"
    assert "mx7" in told.one("service.name")["what"]


def test_run_console_is_looked_at_as_it_would_run(server_py):
    told = doctor("sessionspan", "run", "--console", "python", server_py)
    assert told.code == 0, told.text
    assert "sessionspan_console" in told.one("export.elsewhere")["what"]


# Symptoms: what is set up, which finding says so, and what it advises.

Setting = tuple[list[object], dict[str, str]]  # words, environment
Setup = Callable[[pytest.FixtureRequest, Path], Setting]


@dataclass
class Symptom:
    id: str
    level: str
    advice: str
    setup: Setup
    name: str = ""


def with_environment(**variables: str) -> Setup:
    return lambda request, tmp_path: (["python"], variables)


def with_command(*words: str, **variables: str) -> Setup:
    return lambda request, tmp_path: (list(words), variables)


def with_packages(**files: str) -> Setup:
    """Files in a folder on PYTHONPATH."""

    def setup(request: pytest.FixtureRequest, tmp_path: Path) -> Setting:
        for name, content in files.items():
            path = tmp_path / "packages" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content)
        return ["python"], {"PYTHONPATH": str(tmp_path / "packages")}

    return setup


def dist(name: str, version: str, points: str = "", requires: str = "") -> dict[str, str]:
    """The metadata of a distribution that is installed."""
    folder = f"{name.replace('-', '_')}-{version}.dist-info"
    needs = f"Requires-Dist: {requires}\n" if requires else ""
    return {
        f"{folder}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{needs}",
        f"{folder}/entry_points.txt": points,
    }


VENDOR_DISTRO = (
    "from opentelemetry.instrumentation.distro import DefaultDistro\nclass Distro(DefaultDistro): pass\n"
)
FAILING = """
from sessionspan.instrumentor import SessionInstrumentor
from sessionspan.scope import Scope
class Broken(Scope):
    def bind(self, *args):
        raise ValueError("a bug")
class Failing(SessionInstrumentor):
    scope = Broken("failing")
    instruments = "aiosmtpd"
    patches = ()
"""
INSTRUMENTOR = "[opentelemetry_instrumentor]\nfailing = failing:Failing\n"


def bare(*words: str, by_path: bool = False) -> Setup:
    def setup(request: pytest.FixtureRequest, tmp_path: Path) -> Setting:
        python: Path = request.getfixturevalue("bare_python")
        if not by_path:
            return [python, *words], {}
        (tmp_path / "instrument").symlink_to(Path(sys.executable).with_name("opentelemetry-instrument"))
        places = [str(python.parent), str(Path(sys.executable).parent), os.environ["PATH"]]
        return ["opentelemetry-instrument", "python", *words], {"PATH": os.pathsep.join(places)}

    return setup


def without_libraries(request: pytest.FixtureRequest, tmp_path: Path) -> Setting:
    """Everything but the libraries that we instrument."""
    packages = tmp_path / "packages"
    packages.mkdir()
    ours = [
        folder.name.removeprefix("sessionspan_") for folder in (ROOT / "instrumentation").glob("sessionspan_*")
    ]
    for path in Path(sysconfig.get_path("purelib")).iterdir():
        if not path.name.lower().startswith(tuple(ours)):
            (packages / path.name).symlink_to(path)
    places = [str(packages), str(ROOT / "src"), str(ROOT / "instrumentation")]
    return [request.getfixturevalue("bare_python")], {"PYTHONPATH": os.pathsep.join(places)}


def script(text: str, mode: int = 0o755, name: str = "program") -> Setup:
    def setup(request: pytest.FixtureRequest, tmp_path: Path) -> Setting:
        path = tmp_path / name
        path.write_text(text)
        path.chmod(mode)
        return [path], {}

    return setup


def serving(protocol: str = HTTP, speak: str = "", **options: Any) -> Setup:
    """A receiver; *speak* is the protocol that the exporter uses, if another one."""

    def setup(request: pytest.FixtureRequest, tmp_path: Path) -> Setting:
        running = request.getfixturevalue("stack").enter_context(Receiver(**options))
        other = {"OTEL_EXPORTER_OTLP_PROTOCOL": speak} if speak else {}
        return ["python"], running.environment(protocol) | other

    return setup


def answering(status: int, kind: str = "application/x-protobuf") -> Setup:
    """A web server that answers all alike."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None: ...

    return lambda request, tmp_path: (
        ["python"],
        {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://{_web_server(request, Handler)}"},
    )


def _web_server(
    request: pytest.FixtureRequest, handler: type[BaseHTTPRequestHandler], tls: ssl.SSLContext | None = None
) -> str:
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    server.daemon_threads = True
    server.handle_error = lambda request, client_address: None  # type: ignore[method-assign]
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    request.addfinalizer(server.server_close)
    request.addfinalizer(server.shutdown)
    return f"127.0.0.1:{server.server_port}"


def unknown_authority(request: pytest.FixtureRequest, tmp_path: Path) -> Setting:
    """A server whose certificate nobody knows."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(context)
    place = _web_server(request, BaseHTTPRequestHandler, context)
    return ["python"], {"OTEL_EXPORTER_OTLP_ENDPOINT": f"https://{place}"}


def as_pid_1(request: pytest.FixtureRequest, tmp_path: Path) -> Setting:
    """In a PID namespace of its own, as in a container."""
    if subprocess.run(["unshare", "--pid", "--fork", "true"], capture_output=True).returncode:
        pytest.skip("no right to make a PID namespace")
    return ["--unshare"], {}


OTLP = "OTEL_EXPORTER_OTLP_"
SYMPTOMS = [
    # There are no sessions at all: the program.
    Symptom("interpreter.lacks_sessionspan", "error", "-m pip install sessionspan", bare()),
    Symptom("interpreter.lacks_sessionspan", "error", "sessionspan run python", bare(by_path=True), "by PATH"),
    Symptom("interpreter.isolated", "error", "python my_server.py", with_command("python", "-I", "my_server.py")),
    Symptom("interpreter.isolated", "error", "python -m aiosmtpd", with_command("python", "-E", "-m", "aiosmtpd")),
    Symptom("interpreter.isolated", "error", "without", with_command("python", "-S", "-c", "pass")),
    Symptom("interpreter.isolated", "error", "without", script("#!/usr/bin/python3 -I\n"), "by shebang"),
    Symptom(
        "interpreter.too_old",
        "error",
        "sessionspan run python",
        script('#!/bin/sh\necho \'{"version": "2.7.18", "missing": ""}\'\n', name="python2.7"),
    ),
    Symptom("interpreter.other", "warning", "Deactivate", with_environment(VIRTUAL_ENV="/srv/other/venv")),
    Symptom(
        "interpreter.no_answer",
        "error",
        "first lines",
        with_packages(**{"aiosmtpd/__init__.py": "import os\nos._exit(3)\n"}),
    ),
    Symptom("command.not_found", "error", "PATH", with_command("no-such-program")),
    Symptom("command.not_found", "error", "PATH", with_command("python", "no_such_file.py"), "script"),
    Symptom("command.not_executable", "error", "executable", script("#!/bin/sh\n", 0o644)),
    Symptom("command.not_python", "warning", "doctor python", script("#!/bin/sh\n")),
    Symptom("process.pid1", "warning", "--init", as_pid_1),
    Symptom(
        "sitecustomize.shadowed", "warning", "usercustomize", with_packages(**{"sitecustomize.py": "import os\n"})
    ),
    Symptom(
        "packages.conflict",
        "warning",
        "pip install --upgrade",
        with_packages(**dist("opentelemetry-vendor", "1.0", requires="aiosmtpd>=99")),
    ),
    # The launcher.
    Symptom(
        "distro.two",
        "warning",
        "OTEL_PYTHON_DISTRO=sessionspan",
        lambda request, tmp_path: (
            [],
            with_packages(
                **dist("vendor", "1.0", "[opentelemetry_distro]\nvendor = vendor:Distro\n"),
                **{"vendor.py": VENDOR_DISTRO},
            )(request, tmp_path)[1],
        ),
    ),
    Symptom("distro.unknown", "error", "=sessionspan", with_environment(OTEL_PYTHON_DISTRO="sesionspan")),
    Symptom("configurator.unknown", "error", "=sessionspan", with_environment(OTEL_PYTHON_CONFIGURATOR="x")),
    Symptom("launcher.failed", "error", "records nothing", with_environment(OTEL_LOGS_EXPORTER="otpl")),
    Symptom("sdk.disabled", "error", "unset OTEL_SDK_DISABLED", with_environment(OTEL_SDK_DISABLED="True")),
    # The libraries.
    Symptom("library.none", "error", "sessionspan[aiosmtpd]", without_libraries),
    Symptom("library.version", "error", "aiosmtpd>=1.4.4", with_packages(**dist("aiosmtpd", "1.2"))),
    Symptom(
        "library.disabled",
        "error",
        "Take sessionspan_aiosmtpd out",
        with_environment(OTEL_PYTHON_DISABLED_INSTRUMENTATIONS="flask, sessionspan_aiosmtpd"),
    ),
    Symptom(
        "library.disabled",
        "error",
        "Take * out",
        with_environment(OTEL_PYTHON_DISABLED_INSTRUMENTATIONS="*"),
        "all",
    ),
    Symptom(
        "library.patches",
        "error",
        "report it",
        with_packages(**{"aiosmtpd/__init__.py": "", "aiosmtpd/smtp.py": "class SMTP: ...\n"}),
    ),
    Symptom(
        "library.broken",
        "error",
        "report",
        with_packages(**dist("v", "1", INSTRUMENTOR, "sessionspan"), **{"failing.py": "1 / 0\n"}),
    ),
    Symptom("library.not_instrumented", "error", "above", with_environment(OTEL_LOGS_EXPORTER="otpl")),
    Symptom(
        "library.failed",
        "error",
        "report it",
        with_packages(**dist("v", "1", INSTRUMENTOR, "sessionspan"), **{"failing.py": FAILING}),
    ),
    # Under which name.
    Symptom("service.name", "warning", "OTEL_SERVICE_NAME", with_environment()),
    Symptom(
        "instance.fixed",
        "warning",
        "Take service.instance.id out",
        with_environment(OTEL_RESOURCE_ATTRIBUTES="a=b, service.instance.id = one"),
    ),
    # Where it goes.
    Symptom("export.refused", "error", "Start the collector", with_environment(**{OTLP + "ENDPOINT": DEAD})),
    Symptom(
        "export.refused",
        "error",
        "Start the collector",
        with_environment(**{OTLP + "ENDPOINT": DEAD, OTLP + "PROTOCOL": "grpc"}),
        "grpc",
    ),
    Symptom("export.silent", "error", "firewall", serving(hangs=True)),
    Symptom("export.silent", "error", "firewall", serving(GRPC, hangs=True), "grpc"),
    Symptom("export.jaeger", "warning", "SESSIONSPAN_BACKEND=jaeger", serving(refuses=("logs", "metrics"))),
    Symptom(
        "export.jaeger",
        "warning",
        "SESSIONSPAN_BACKEND=jaeger",
        serving(GRPC, refuses=("logs", "metrics")),
        "grpc",
    ),
    Symptom("export.jaeger", "warning", "OTEL_LOGS_EXPORTER=none", serving(refuses=("logs",)), "no logs only"),
    Symptom("export.unsupported", "warning", "OTEL_METRICS_EXPORTER=none", serving(refuses=("metrics",))),
    Symptom("export.unsupported", "error", "path", answering(404), "all"),
    Symptom("export.protocol", "error", "PROTOCOL=grpc", serving(GRPC, speak=HTTP)),
    Symptom("export.protocol", "error", "PROTOCOL=http/protobuf", serving(HTTP, speak=GRPC), "the other way"),
    Symptom(
        "export.unknown_protocol", "error", "http/protobuf", with_environment(**{OTLP + "PROTOCOL": "http/json"})
    ),
    Symptom("export.credentials", "error", OTLP + "HEADERS", answering(401)),
    Symptom("export.credentials", "error", OTLP + "HEADERS", answering(403), "403"),
    Symptom("export.busy", "warning", "collector", answering(503)),
    Symptom("export.unclear", "warning", "OTLP receiver", answering(200, "text/html; charset=utf-8")),
    Symptom("export.unclear", "warning", "OTLP receiver", answering(302), "redirect"),
    Symptom("export.answered", "ok", "", answering(400)),
    Symptom("export.tls", "error", OTLP + "CERTIFICATE", unknown_authority),
    Symptom(
        "export.certificate",
        "error",
        "path",
        with_environment(**{OTLP + "CERTIFICATE": "/no/such.pem", OTLP + "ENDPOINT": "https://127.0.0.1:9"}),
    ),
    Symptom("export.endpoint", "error", "http://", with_environment(**{OTLP + "ENDPOINT": "collector:4318"})),
    Symptom("export.headers", "error", "URL-encoded", with_environment(**{OTLP + "HEADERS": "Bearer abcdef"})),
    Symptom(
        "export.cleartext",
        "warning",
        "https://",
        with_environment(**{OTLP + "HEADERS": "a=b", OTLP + "ENDPOINT": "http://collector.invalid:4318"}),
    ),
    Symptom("export.unknown", "error", "EXPORTER=otlp", with_environment(OTEL_TRACES_EXPORTER="oltp")),
    Symptom(
        "export.nowhere",
        "error",
        "--console",
        with_environment(OTEL_TRACES_EXPORTER="none", OTEL_LOGS_EXPORTER="none", OTEL_METRICS_EXPORTER="none"),
    ),
    Symptom("export.empty", "warning", "unset OTEL_TRACES_EXPORTER", with_environment(OTEL_TRACES_EXPORTER="")),
    Symptom(
        "export.no_events",
        "warning",
        "unset SESSIONSPAN_EVENTS",
        with_environment(SESSIONSPAN_EVENTS="logs", OTEL_LOGS_EXPORTER="none"),
    ),
    Symptom("export.config_file", "warning", "look at the file", with_environment(OTEL_CONFIG_FILE="otel.yaml")),
    # What leaves.
    Symptom("settings.problem", "warning", "settings.md", with_environment(SESSIONSPAN_EVENT="both"), "name"),
    Symptom("settings.problem", "warning", "settings.md", with_environment(SESSIONSPAN_EVENTS="log"), "value"),
    Symptom("settings.problem", "warning", "settings.md", with_environment(SESSIONSPAN_IDENTITY="hash"), "no key"),
    Symptom(
        "settings.problem", "warning", "settings.md", with_environment(SESSIONSPAN_LOG_ACTIVITY_MASK="96"), "mask"
    ),
    Symptom("activities.module", "error", "PYTHONPATH", with_environment(SESSIONSPAN_LOG_ACTIVITY="none.such:f")),
    Symptom(
        "activities.module",
        "error",
        "PYTHONPATH",
        with_environment(SESSIONSPAN_LOG_ACTIVITY="email.none_such:f"),
        "in a package",
    ),
    Symptom("privacy.activities", "ok", "", with_environment(SESSIONSPAN_LOG_ACTIVITY="email.mime.text:f")),
    Symptom("settings.problem", "warning", "settings.md", with_environment(SESSIONSPAN_PORTS="x:imap"), "ports"),
    Symptom(
        "settings.problem",
        "warning",
        "settings.md",
        with_environment(SESSIONSPAN_REDACT_RULES="/nowhere/rules.json"),
        "rules",
    ),
    Symptom("privacy.devices", "ok", "", with_environment(SESSIONSPAN_NETCONAN="on"), "netconan"),
    Symptom("settings.raise", "warning", "unset", with_environment(SESSIONSPAN_RAISE="on")),
    Symptom("settings.sigterm", "ok", "", with_environment(SESSIONSPAN_SIGTERM="off")),
    Symptom("privacy.hash_key", "warning", "=hash", with_environment(SESSIONSPAN_HASH_KEY="0123456789abcdef")),
    Symptom("clients.ignored", "warning", "only", with_environment(SESSIONSPAN_IGNORE_CLIENTS="0.0.0.0/0")),
    Symptom("clients.ignored", "ok", "", with_environment(SESSIONSPAN_IGNORE_CLIENTS="10.0.0.0/8"), "some"),
    Symptom("limits.span_events", "warning", "unset", with_environment(OTEL_SPAN_EVENT_COUNT_LIMIT="10")),
    Symptom("limits.max_events", "warning", "unset", with_environment(SESSIONSPAN_MAX_EVENTS="5")),
    Symptom("sampling", "warning", "unset", with_environment(OTEL_TRACES_SAMPLER="always_off")),
]
# What no test sets up: it depends on the network, or on what is not installed here.
ELSEWHERE = {
    "export.unresolved",
    "export.unreachable",
    "export.proxy",
    "interpreter.sessionspan",
    "instance.forked",
    "canary.blind",
    "canary.failed",
    "canary.not_run",
}


@pytest.mark.parametrize("symptom", SYMPTOMS, ids=lambda symptom: f"{symptom.id} {symptom.name}".strip())
def test_a_symptom_is_found_with_what_to_do(symptom, request, tmp_path):
    words, environ = symptom.setup(request, tmp_path)
    quiet = {f"OTEL_{signal}_EXPORTER": "none" for signal in ("TRACES", "METRICS")} | {
        "OTEL_LOGS_EXPORTER": "sessionspan_console"
    }
    exports = symptom.id.startswith("export.")
    told = (_doctor_as_pid_1 if words == ["--unshare"] else doctor)(
        *words, environ=environ if exports else quiet | environ
    )
    finding = told.one(symptom.id)
    assert finding["level"] == symptom.level
    assert symptom.advice in finding["do"]
    assert bool(finding["do"]) or symptom.level == "ok"
    levels = ("ok", "warning", "error")
    assert told.code == levels.index(told.answer["level"]) >= levels.index(symptom.level)
    assert "Traceback" not in told.text + told.errors


def _doctor_as_pid_1(*words: object, environ: Mapping[str, str]) -> Told:
    command = ["unshare", "--pid", "--fork", sys.executable, "-m", "sessionspan.cli", "doctor", "--json"]
    done = subprocess.run(
        command, env=clean_environment() | dict(environ), capture_output=True, text=True, timeout=90
    )
    return Told(done.returncode, done.stdout, done.stderr, json.loads(done.stdout))


# Nothing is said that is not in the page, and in a test.


def _ids() -> set[str]:
    source = "".join(path.read_text() for path in (ROOT / "src/sessionspan/cli/doctor").glob("*.py"))
    literal = set(re.findall(r'\b(?:ok|warning|error|tell|return)\(?\s*"([a-z]+(?:\.[a-z_0-9]+)?)",', source))
    return (literal | {f"export.{kind}" for kind in JUDGEMENTS}) - {"export"}


def test_every_finding_is_explained_in_the_page():
    page = (ROOT / "docs/doctor.md").read_text()
    assert len(_ids()) > 50
    assert sorted(id for id in _ids() if f"`{id}`" not in page) == []


def test_every_finding_that_is_no_praise_has_a_symptom_here():
    praise = {
        "interpreter",
        "distro",
        "configurator",
        "library",
        "library.absent",
        "library.unlisted",
        "export.accepted",
    }
    praise |= {"export.elsewhere", "export.off", "canary.clean", "canary.leak"}
    praise |= {id for id in _ids() if id.startswith("privacy.")}
    assert sorted(_ids() - praise - ELSEWHERE - {symptom.id for symptom in SYMPTOMS}) == []


def test_what_troubleshooting_names_is_what_the_doctor_says():
    named = set(re.findall(r"`([a-z]+\.[a-z_0-9]+)`", (ROOT / "docs/troubleshooting.md").read_text()))
    events = {"session.start", "tls.failure", "mail.log"}
    assert {
        name for name in named if name.partition(".")[0] in {id.partition(".")[0] for id in _ids()}
    } - events <= _ids()


# Servers of one's own.


def test_the_patches_for_listed_ports_are_looked_at(server_py):
    told = doctor("--", "python", server_py, environ={"SESSIONSPAN_PORTS": "1110:pop3"})
    lines = [finding["what"] for finding in told.of("library")]
    assert [line.partition(" ")[0] for line in lines].count("asyncio") == 1
    (line,) = [line for line in lines if line.startswith("socketserver")]
    assert "all 2 patches are in place" in line
    assert "library.unlisted" not in told.ids("ok")


# Forked workers.


def test_forked_workers_are_asked_for_their_instance(tmp_path, request):
    words, environ = with_packages(**dist("gunicorn", "23.0"))(request, tmp_path)
    told = doctor(*words, environ=environ | {"OTEL_TRACES_EXPORTER": "none", "OTEL_METRICS_EXPORTER": "none"})
    assert "gunicorn" in told.one("instance.forked")["what"]


# Secrets.

SECRET = b"Marked-Secret-4f9c/?=x"


@pytest.mark.parametrize("options", [("--json",), ()], ids=["json", "text"])
@pytest.mark.parametrize(
    "environ",
    [
        {OTLP + "HEADERS": "authorization=Bearer%20{s}"},
        {OTLP + "HEADERS": "authorization=Bearer {s},x-tenant=7"},
        {OTLP + "LOGS_HEADERS": "{s}"},
        {OTLP + "HEADERS": "Bearer {s}", OTLP + "PROTOCOL": "grpc"},
        {OTLP + "HEADERS": "{s}=,{s}=="},
        {OTLP + "ENDPOINT": "http://user:{s}@127.0.0.1:9"},
        {OTLP + "ENDPOINT": "http://127.0.0.1:9/?api-key={s}"},
        {OTLP + "ENDPOINT": "user:{s}@127.0.0.1:9"},
        {"SESSIONSPAN_HASH_KEY": "{s}", "SESSIONSPAN_IDENTITY": "hash"},
        {"SESSIONSPAN_HASHKEY": "{s}"},
        {OTLP + "HEADERS": "a={s}", "OTEL_TRACES_EXPORTER": "otpl", "OTEL_CONFIG_FILE": ""},
    ],
    ids=str,
)
def test_no_secret_is_shown(environ, options):
    filled = {name: value.replace("{s}", SECRET.decode()) for name, value in environ.items()}
    told = doctor("python", environ={OTLP + "ENDPOINT": DEAD} | filled, options=options)
    assert told.code in (1, 2)
    assert found_in((told.text + told.errors).encode(), [SECRET, b"Marked-Secret-4f9c"]) == []


def test_the_names_of_headers_are_shown(receiver):
    headers = {OTLP + "HEADERS": "Authorization=Bearer%20abcdef,x-tenant=7", OTLP + "COMPRESSION": "gzip"}
    told = doctor("python", environ=receiver.environment() | headers)
    assert told.answer["signals"][0]["headers"] == ["authorization", "x-tenant"]
    assert "headers authorization, x-tenant, gzip: accepted" in told.of("export.accepted")[0]["what"]


# Per signal.


def test_each_signal_goes_where_its_own_variables_say(receiver):
    told = doctor(
        "python",
        environ={
            OTLP + "TRACES_ENDPOINT": f"{receiver.http_endpoint}/v1/traces",
            OTLP + "LOGS_ENDPOINT": receiver.grpc_endpoint,
            OTLP + "LOGS_PROTOCOL": "grpc",
            OTLP + "METRICS_ENDPOINT": DEAD,
        },
    )
    found = {each["signal"]: (each["protocol"], each["outcome"]) for each in told.answer["signals"]}
    assert found == {
        "traces": (HTTP, "accepted"),
        "logs": ("grpc", "accepted"),
        "metrics": (HTTP, "refused"),
    }


def test_a_pull_exporter_is_not_started_for_the_questions():
    """It would take the port that the program itself needs; here it is not even installed, and does not matter."""
    told = doctor("python", environ={"OTEL_METRICS_EXPORTER": "prometheus", OTLP + "ENDPOINT": DEAD})
    assert "library" in told.ids("ok"), told.text
    assert told.answer["signals"][2]["exporter"] == "prometheus"


# The canary.


def test_the_canary_finds_nothing_at_any_setting():
    settings = {"SESSIONSPAN_CAPTURE": "content", "SESSIONSPAN_IDENTITY": "plain", "SESSIONSPAN_ENVELOPE": "plain"}
    told = doctor("python", environ=settings | {OTLP + "ENDPOINT": DEAD}, options=("--json", "--canary"))
    what = told.one("canary.clean")["what"]
    assert re.search(r"in \d\d ways, each its own \(SMTP, aiosmtpd: 3\d; POP3, a server of one's own: 4\d\)", what)
    assert re.search(r"\d{2},\d{3} exported bytes", what)


def test_the_canary_finds_what_a_careless_program_logs(tmp_path, request):
    leak = """
    import logging
    import aiosmtpd.smtp as library
    authenticate = library.SMTP._authenticate
    def careless(self, mechanism, data):
        logging.getLogger("shop").info("login with %r", getattr(data, "password", data))
        return authenticate(self, mechanism, data)
    library.SMTP._authenticate = careless
    """
    code = "\n".join(line[4:] for line in leak.splitlines())
    words, environ = with_packages(**{"sitecustomize.py": code})(request, tmp_path)
    told = doctor(*words, environ=environ | {OTLP + "ENDPOINT": DEAD}, options=("--json", "--canary"))
    finding = told.one("canary.leak")
    assert "PLAIN, accepted" in finding["what"]
    assert "SMTP: an unknown mechanism" not in finding["what"]
    assert "POP3" not in finding["what"]
    assert told.code == 2


# The page.


def test_the_text_is_plain_where_nobody_looks_and_commands_stay_whole():
    told = doctor("python", environ={OTLP + "ENDPOINT": DEAD, "COLUMNS": "50"}, options=())
    assert "\x1b" not in told.text
    assert "export OTEL_EXPORTER_OTLP_ENDPOINT=http://host:4318\n" in told.text
    assert told.text.count("Start the collector there") == 1  # for three signals
    assert "✗ traces → http/protobuf" in told.text


def test_a_terminal_without_unicode_gets_ascii():
    told = doctor("python", environ={OTLP + "ENDPOINT": DEAD, "PYTHONIOENCODING": "ascii"}, options=())
    assert told.text.isascii()
    assert "X traces -> http/protobuf" in told.text
