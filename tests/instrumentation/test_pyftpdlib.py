"""pyftpdlib, really serving, and what its sessions say."""

from __future__ import annotations

import contextlib
import ftplib
import importlib
import io
import logging
import shutil
import socket
import ssl
import subprocess
import threading
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme
from opentelemetry.exporter.otlp.proto.common._log_encoder import encode_logs
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.instrumentation.logging.handler import LoggingHandler
from opentelemetry.trace import SpanKind, StatusCode

from sessionspan import current_session
from sessionspan.guard import guard
from sessionspan.testing import Recorder
from sessionspan_pyftpdlib import PyftpdlibInstrumentor
from sessionspan_pyftpdlib.wire_log import WIRE_LOG
from tests.canary import found_in
from tests.exported import Exported

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # asyncore, before Python 3.12
    servers: Any = importlib.import_module("pyftpdlib.servers")  # untyped
    authorizers: Any = importlib.import_module("pyftpdlib.authorizers")
    handlers: Any = importlib.import_module("pyftpdlib.handlers")
    ioloop: Any = importlib.import_module("pyftpdlib.ioloop")

AUTHORITY = trustme.CA()
SECRET = "CanaryPassw0rd-7f3a/?=x"


@pytest.fixture(autouse=True)
def instrumented(recorder: Recorder) -> Iterator[None]:
    before = guard.failures
    PyftpdlibInstrumentor().instrument(
        tracer_provider=recorder.tracer_provider, logger_provider=recorder.logger_provider
    )
    yield
    PyftpdlibInstrumentor().uninstrument()
    assert guard.failures == before


class Authorizer(authorizers.DummyAuthorizer):  # type: ignore[misc]
    """A refusal of eve quotes the password, as some authorizers do."""

    def validate_authentication(self, username: str, password: str, handler: Any) -> None:
        if username == "eve":
            raise authorizers.AuthenticationFailed(f"{password} is wrong")
        super().validate_authentication(username, password, handler)


class Server:
    """A running server, and clients for it."""

    def __init__(self, address: tuple[str, int], stop: Callable[[], None]) -> None:
        self.address = address
        self.stop = stop

    def connect(self) -> Client:
        return Client(socket.create_connection(self.address, 10))

    def ftp(self) -> ftplib.FTP:
        client = ftplib.FTP(timeout=10)
        client.connect(*self.address)
        return client

    def login(self) -> ftplib.FTP:
        client = self.ftp()
        client.login("alice", SECRET)
        return client


class Client:
    """Speaks raw lines, so that the bytes on the wire are the test's own."""

    def __init__(self, connection: socket.socket) -> None:
        self.socket = connection
        self.address = connection.getsockname()
        self._file = connection.makefile("rb")

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def read_reply(self) -> bytes:
        """One reply, the last line of it; b"" at the end of the connection."""
        while True:
            line = self._file.readline()
            if not line or (line[:3].isdigit() and line[3:4] != b"-"):
                return line.rstrip(b"\r\n")

    def command(self, line: bytes) -> bytes:
        self.send(line + b"\r\n")
        return self.read_reply()

    def reset(self) -> None:
        """Close with a RST instead of a FIN."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.close()

    def close(self) -> None:
        self._file.close()
        self.socket.close()


@contextlib.contextmanager
def serving(
    home: Path,
    handler: Any = handlers.FTPHandler,
    *,
    server: Any = servers.FTPServer,
    limits: dict[str, int] | None = None,
    **options: Any,
) -> Iterator[Server]:
    """Serve with pyftpdlib in a thread of its own, on a free port."""
    authorizer = Authorizer()
    authorizer.add_user("alice", SECRET, str(home), perm="elradfmwMT")
    own = type("Handler", (handler,), {"authorizer": authorizer, "auth_failed_timeout": 0, **options})
    running = type("Server", (server,), limits or {})(("127.0.0.1", 0), own, ioloop=ioloop.IOLoop())
    stopping = threading.Event()

    def serve() -> None:
        while not stopping.is_set():
            running.serve_forever(timeout=0.02, blocking=False, handle_exit=False)
        running.close_all()

    thread = threading.Thread(target=serve)
    thread.start()

    def stop() -> None:
        stopping.set()
        thread.join()

    try:
        yield Server(running.address, stop)
    finally:
        stop()


def ended(recorder: Recorder) -> tuple[Any, Any]:
    attributes = recorder.wait_for_session().attributes or {}
    return attributes["sessionspan.outcome"], attributes["sessionspan.end_reason"]


# One session, told.


def test_a_session_is_one_root_server_span_with_an_event_per_step(recorder: Recorder, tmp_path: Path) -> None:
    with serving(tmp_path) as server:
        client = server.ftp()
        host, port = client.sock.getsockname()  # type: ignore[union-attr]
        with pytest.raises(ftplib.error_perm):
            client.login("alice", "wrong")
        client.login("alice", SECRET)
        client.storbinary("STOR a.txt", io.BytesIO(b"hello"))
        got: list[bytes] = []
        client.retrbinary("RETR a.txt", got.append)
        with pytest.raises(ftplib.error_perm):
            client.size("none")
        client.quit()
        session = recorder.wait_for_session()
    assert b"".join(got) == b"hello"
    assert recorder.transcript() == [
        "session.start",
        "command USER 331",
        "auth.failure invalid_credentials",
        "command PASS 530",
        "command USER 331",
        "auth.success alice",
        "command PASS 230",
        "command TYPE 200",
        "command PASV 227",
        "command STOR 226",
        "command TYPE 200",
        "command PASV 227",
        "command RETR 226",
        "command SIZE 550",
        "command QUIT 221",
        "auth.end alice",
        "session.end",
    ]
    assert (session.name, session.kind, session.parent) == ("FTP session", SpanKind.SERVER, None)
    assert session.status.status_code is StatusCode.UNSET
    assert session.instrumentation_scope is not None
    assert session.instrumentation_scope.name == "sessionspan_pyftpdlib"
    attributes = dict(session.attributes or {})
    expected = {
        "sessionspan.side": "server",
        "network.protocol.name": "ftp",
        "network.transport": "tcp",
        "client.address": host,
        "client.port": port,
        "network.peer.address": host,
        "network.peer.port": port,
        "network.local.address": server.address[0],
        "network.local.port": server.address[1],
        "user.name": "alice",
        "client_ip": host,
        "protocol": "FTP",
        "username": "alice",
        "sessionspan.tls.mode": "none",
        "sessionspan.outcome": "ok",
        "sessionspan.end_reason": "quit",
        "sessionspan.command.count": 12,
        "sessionspan.command.failed.count": 2,
        "sessionspan.auth.attempt.count": 2,
        "sessionspan.auth.user.count": 1,
    }
    assert {key: attributes[key] for key in expected} == expected
    failure = recorder.named("auth.failure")[0]
    assert failure["sessionspan.auth.user.name"] == "alice"
    assert "user.name" not in failure.attributes


def test_sizes_are_those_of_the_control_connection(recorder: Recorder, tmp_path: Path) -> None:
    with serving(tmp_path) as server:
        client = server.connect()
        sent = len(client.read_reply()) + len(client.command(b"NOOP")) + len(client.command(b"QUIT")) + 3 * 2
        attributes = recorder.wait_for_session().attributes or {}
    assert attributes["sessionspan.received.size"] == len(b"NOOP\r\nQUIT\r\n")
    assert attributes["sessionspan.sent.size"] == sent


def test_a_command_within_a_transfer_is_told_before_it(recorder: Recorder, tmp_path: Path) -> None:
    with serving(tmp_path) as server:
        client = server.login()
        with client.transfercmd("STOR slow.txt") as data:
            data.sendall(b"x")
            client.voidcmd("NOOP")
        client.voidresp()
        client.quit()
        recorder.wait_for_session()
    told = recorder.transcript()
    assert told[-5:] == [
        "command NOOP 200",
        "command STOR 226",
        "command QUIT 221",
        "auth.end alice",
        "session.end",
    ]


def test_curl_uploads_and_downloads(recorder: Recorder, tmp_path: Path) -> None:
    if shutil.which("curl") is None:
        pytest.skip("curl is not here: apt-get install curl")
    home = tmp_path / "home"
    home.mkdir()
    source, target = tmp_path / "in", tmp_path / "out"
    source.write_bytes(b"payload" * 10_000)
    with serving(home) as server:
        url = "ftp://{}:{}/x.bin".format(*server.address)
        login = ["curl", "-sS", "--user", f"alice:{SECRET}"]
        subprocess.run([*login, "-T", str(source), url], check=True, timeout=30)
        subprocess.run([*login, "-o", str(target), url], check=True, timeout=30)
        up, down = recorder.wait_for_sessions(2)
    assert target.read_bytes() == source.read_bytes()
    assert "command STOR 226" in recorder.transcript(up)
    assert "command RETR 226" in recorder.transcript(down)
    for session in (up, down):
        assert "auth.success alice" in recorder.transcript(session)
        assert (session.attributes or {})["sessionspan.outcome"] == "ok"


def test_callbacks_of_the_application_run_in_the_session(recorder: Recorder, tmp_path: Path) -> None:
    seen: dict[str, Any] = {}

    def notes(name: str) -> Callable[..., None]:
        return lambda *args: seen.update({name: current_session()})

    # Not `on_logout` at QUIT and `on_disconnect`: pyftpdlib calls them after it has closed the connection.
    names = ("on_connect", "on_login", "on_login_failed", "on_file_received", "on_file_sent")
    callbacks: dict[str, Any] = {name: notes(name) for name in names}
    with serving(tmp_path, **callbacks) as server:
        client = server.ftp()
        with pytest.raises(ftplib.error_perm):
            client.login("alice", "wrong")
        client.login("alice", SECRET)
        client.storbinary("STOR a", io.BytesIO(b"x"))
        client.retrbinary("RETR a", lambda data: None)
        client.quit()
        session = recorder.wait_for_session()
    wanted = (session.attributes or {})["session_id"]
    assert {name: seen[name].id for name in seen} == dict.fromkeys(names, wanted)


def test_commands_that_an_application_overrides_without_super_are_told(recorder: Recorder, tmp_path: Path) -> None:
    own: dict[str, Any] = {"ftp_NOOP": lambda handler, line: handler.push("250-mine\r\n250 own\r\n")}
    with serving(tmp_path, **own) as server:
        client = server.connect()
        client.read_reply()
        client.command(b"NOOP")
        client.command(b"QUIT")
        recorder.wait_for_session()
    assert recorder.transcript() == ["session.start", "command NOOP 250", "command QUIT 221", "session.end"]


# How it ends.


def test_a_client_that_goes_without_quit_is_peer_eof(recorder: Recorder, tmp_path: Path) -> None:
    with serving(tmp_path) as server:
        client = server.connect()
        client.read_reply()
        client.command(b"NOOP")
        client.close()
        assert ended(recorder) == ("ok", "peer_eof")


def test_a_reset_is_peer_reset(recorder: Recorder, tmp_path: Path) -> None:
    with serving(tmp_path) as server:
        client = server.connect()
        client.read_reply()
        client.command(b"NOOP")
        client.reset()
        assert ended(recorder) == ("ok", "peer_reset")


def test_a_client_that_goes_within_its_transfer_has_aborted(recorder: Recorder, tmp_path: Path) -> None:
    with serving(tmp_path) as server:
        client = server.login()
        data = client.transfercmd("STOR half.bin")
        data.sendall(b"half")
        client.close()
        assert ended(recorder) == ("aborted", "peer_eof")
        data.close()
    assert recorder.named("command")[-1]["sessionspan.reply.status"] == "none"


def test_an_idle_client_is_a_timeout(recorder: Recorder, tmp_path: Path) -> None:
    with serving(tmp_path, timeout=0.1) as server:
        client = server.connect()
        client.read_reply()
        assert client.read_reply().startswith(b"421")
        assert ended(recorder) == ("ok", "timeout")


def test_a_stalled_transfer_is_a_timeout(recorder: Recorder, tmp_path: Path) -> None:
    with serving(tmp_path, dtp_handler=type("Stalls", (handlers.DTPHandler,), {"timeout": 0.1})) as server:
        client = server.login()
        with client.transfercmd("STOR stalls.bin"):
            with pytest.raises(ftplib.error_temp, match="421"):
                client.voidresp()
        assert ended(recorder) == ("ok", "timeout")
    assert "command STOR 421" in recorder.transcript()


@pytest.mark.parametrize("kind", [servers.FTPServer, servers.ThreadedFTPServer])
def test_a_stopped_server_is_shutdown(recorder: Recorder, tmp_path: Path, kind: Any) -> None:
    with serving(tmp_path, server=kind) as server:
        client = server.login()
        server.stop()
        assert ended(recorder) == ("ok", "shutdown")
        client.close()


def test_too_many_wrong_passwords_are_auth_failed(recorder: Recorder, tmp_path: Path) -> None:
    with serving(tmp_path, max_login_attempts=2) as server:
        client = server.connect()
        client.read_reply()
        for _ in range(2):
            client.command(b"USER alice")
            assert client.command(b"PASS wrong").startswith(b"530")
        assert ended(recorder) == ("auth_failed", "auth_failed")
    assert len(recorder.named("auth.failure")) == 2


@pytest.mark.parametrize("limit", ["max_cons", "max_cons_per_ip"])
def test_a_client_too_many_is_a_limit(recorder: Recorder, tmp_path: Path, limit: str) -> None:
    # The listener and the first client have a place in the map of connections, too.
    with serving(tmp_path, limits={limit: 2 if limit == "max_cons" else 1}) as server:
        first = server.connect()
        first.read_reply()
        second = server.connect()
        assert second.read_reply().startswith(b"421")
        assert ended(recorder) == ("ok", "limit")
        first.close()


def test_a_callback_that_raises_is_an_error_without_its_text(recorder: Recorder, tmp_path: Path) -> None:
    def raises(handler: Any, username: str) -> None:
        raise ValueError(SECRET)

    with serving(tmp_path, on_login=raises) as server:
        client = server.connect()
        client.read_reply()
        client.command(b"USER alice")
        client.command(b"PASS " + SECRET.encode())
        assert ended(recorder) == ("error", "handler_error")
    session = recorder.sessions[0]
    assert session.status.status_code is StatusCode.ERROR
    assert (session.attributes or {})["error.type"] == "ValueError"
    assert SECRET not in recorder.everything()


def test_what_closes_the_connection_in_the_application_is_local_close(recorder: Recorder, tmp_path: Path) -> None:
    with serving(tmp_path, on_login=lambda handler, username: handler.close()) as server:
        client = server.connect()
        client.read_reply()
        client.command(b"USER alice")
        client.send(b"PASS " + SECRET.encode() + b"\r\n")
        assert ended(recorder) == ("ok", "local_close")


# TLS.


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("tls") / "server.pem"
    AUTHORITY.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(str(path))
    return str(path)


def tls_client(version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3) -> ftplib.FTP_TLS:
    context = ssl.create_default_context()
    context.maximum_version = version
    AUTHORITY.configure_trust(context)
    return ftplib.FTP_TLS(context=context, timeout=10)


def tls_options(certificate: str) -> dict[str, Any]:
    return {"handler": handlers.TLS_FTPHandler, "certfile": certificate, "keyfile": None, "ssl_context": None}


def test_auth_tls_is_told_with_its_handshake(recorder: Recorder, tmp_path: Path, certificate: str) -> None:
    with serving(tmp_path, **tls_options(certificate)) as server:
        client = tls_client()
        client.connect(*server.address)
        client.login("alice", SECRET)
        client.prot_p()
        client.storbinary("STOR a", io.BytesIO(b"x"))
        client.quit()
        session = recorder.wait_for_session()
    assert recorder.transcript() == [
        "session.start",
        "command AUTH 234",
        "tls.established starttls",
        "command USER 331",
        "auth.success alice",
        "command PASS 230",
        "command PBSZ 200",
        "command PROT 200",
        "command TYPE 200",
        "command PASV 227",
        "command STOR 226",
        "command QUIT 221",
        "auth.end alice",
        "session.end",
    ]
    attributes = session.attributes or {}
    assert attributes["sessionspan.tls.mode"] == "starttls"
    assert attributes["tls.protocol.name"] == "tls"
    assert attributes["tls.protocol.version"] == "1.3"
    assert str(attributes["tls.cipher"]).startswith("TLS_")
    assert attributes["sessionspan.end_reason"] == "quit"


def test_tls_1_2_is_told_with_the_cipher_that_openssl_names(
    recorder: Recorder, tmp_path: Path, certificate: str
) -> None:
    with serving(tmp_path, **tls_options(certificate)) as server:
        client = tls_client(ssl.TLSVersion.TLSv1_2)
        client.connect(*server.address)
        client.login("alice", SECRET)
        client.close()
        session = recorder.wait_for_session()
    assert (session.attributes or {})["tls.protocol.version"] == "1.2"
    assert (session.attributes or {})["sessionspan.end_reason"] == "peer_eof"


def test_a_handshake_without_a_command_after_it_is_told(
    recorder: Recorder, tmp_path: Path, certificate: str
) -> None:
    with serving(tmp_path, **tls_options(certificate)) as server:
        client = tls_client(ssl.TLSVersion.TLSv1_2)  # in 1.3 the server goes on after the client is done
        client.connect(*server.address)
        client.auth()
        client.close()
        assert ended(recorder) == ("ok", "peer_eof")
    assert "tls.established starttls" in recorder.transcript()


def test_a_server_that_stops_after_a_handshake_has_told_it(
    recorder: Recorder, tmp_path: Path, certificate: str
) -> None:
    with serving(tmp_path, **tls_options(certificate)) as server:
        client = tls_client(ssl.TLSVersion.TLSv1_2)
        client.connect(*server.address)
        client.auth()
        server.stop()
        assert ended(recorder) == ("ok", "shutdown")
        client.close()
    assert "tls.established starttls" in recorder.transcript()


def test_a_failed_handshake_is_tls_failed(recorder: Recorder, tmp_path: Path, certificate: str) -> None:
    with serving(tmp_path, **tls_options(certificate)) as server:
        client = server.connect()
        client.read_reply()
        client.command(b"AUTH TLS")
        client.send(b"this is no ClientHello\r\n")
        assert ended(recorder) == ("ok", "tls_failed")
    assert recorder.named("tls.failure")[0]["error.type"] == "OpenSSL.SSL.Error"


def test_a_client_that_goes_within_the_handshake_is_tls_failed(
    recorder: Recorder, tmp_path: Path, certificate: str
) -> None:
    with serving(tmp_path, **tls_options(certificate)) as server:
        client = server.connect()
        client.read_reply()
        client.command(b"AUTH TLS")
        client.close()
        assert ended(recorder) == ("ok", "tls_failed")


def test_a_login_that_needs_tls_says_so(recorder: Recorder, tmp_path: Path, certificate: str) -> None:
    with serving(tmp_path, **tls_options(certificate), tls_control_required=True) as server:
        client = server.connect()
        client.read_reply()
        client.command(b"USER alice")
        client.command(b"QUIT")
        assert ended(recorder) == ("auth_failed", "quit")
    assert recorder.named("auth.failure")[0]["error.type"] == "encryption_required"


# Many at once, and evil ones.


@pytest.mark.parametrize("kind", [servers.FTPServer, servers.ThreadedFTPServer])
def test_a_hundred_sessions_at_once_are_not_mixed(recorder: Recorder, tmp_path: Path, kind: Any) -> None:
    count = 100
    with serving(tmp_path, server=kind, limits={"max_cons": 4 * count}) as server:
        clients = [server.connect() for _ in range(count)]
        for client in clients:
            client.read_reply()
        for step in (b"USER user%d", b"PASS wrong%d", b"HELP", b"QUIT"):
            for number, client in enumerate(clients):
                client.send((step % number if b"%" in step else step) + b"\r\n")
            for client in clients:
                client.read_reply()
        ports = {client.address[1]: f"user{number}" for number, client in enumerate(clients)}
        sessions = recorder.wait_for_sessions(count)
        for client in clients:
            client.close()
    assert len({(session.attributes or {})["session_id"] for session in sessions}) == count
    for session in sessions:
        (failure,) = [event for event in recorder.of(session) if event.name == "auth.failure"]
        assert failure["sessionspan.auth.user.name"] == ports[failure["client.port"]]
        assert recorder.transcript(session) == [
            "session.start",
            "command USER 331",
            "auth.failure invalid_credentials",
            "command PASS 530",
            "command HELP 214",
            "command QUIT 221",
            "session.end",
        ]


def test_no_line_hides_the_login_that_follows_it(recorder: Recorder, tmp_path: Path) -> None:
    login = b"USER alice\r\nPASS " + SECRET.encode() + b"\r\nQUIT\r\n"
    evil = [b"A" * 5000, b"NOOP\nNOOP", b"NOOP\n", b"", b"\xff\xf4\xff\xf2ABOR", b"\0", b"STAT\r", b"PASS x\ny"]
    with serving(tmp_path) as server:
        for line in evil:
            client = server.connect()
            client.send(line + b"\r\n" + login)
            while client.read_reply():
                pass
            client.close()
        sessions = recorder.wait_for_sessions(len(evil))
    for session in sessions:
        told = recorder.transcript(session)
        assert [line for line in told if line.endswith(("PASS 230", "QUIT 221", "success alice"))] == [
            "auth.success alice",
            "command PASS 230",
            "command QUIT 221",
        ], told


def test_a_server_with_a_process_per_connection_is_not_recorded(recorder: Recorder) -> None:
    from sessionspan_pyftpdlib import _serves_in_a_process_of_its_own

    assert _serves_in_a_process_of_its_own(servers.MultiprocessFTPServer.__new__(servers.MultiprocessFTPServer))
    assert not _serves_in_a_process_of_its_own(servers.ThreadedFTPServer.__new__(servers.ThreadedFTPServer))


# No credential leaves.


@pytest.fixture(params=[logging.DEBUG, logging.INFO], ids=["debug", "info"])
def exported(request: pytest.FixtureRequest, recorder: Recorder) -> Iterator[Exported]:
    """All of the process's logging goes to OTel, as with opentelemetry-instrumentation-logging."""
    kept = Exported()
    recorder.logger_provider.add_log_record_processor(kept)
    handler = LoggingHandler(logger_provider=recorder.logger_provider)
    root, library = logging.getLogger(), logging.getLogger("pyftpdlib")
    level = root.level
    root.addHandler(handler)
    root.setLevel(request.param)
    library.setLevel(request.param)
    yield kept
    root.removeHandler(handler)
    root.setLevel(level)
    library.setLevel(logging.NOTSET)


WAYS: dict[str, list[str]] = {
    "accepted": ["USER alice", f"PASS {SECRET}"],
    "refused": ["USER bob", f"PASS {SECRET}"],
    "refused with a quote": ["USER eve", f"PASS {SECRET}"],
    "lower case": ["user bob", f"pass {SECRET}"],
    "a tab": ["USER bob", f"PASS\t{SECRET}"],
    "no space": ["USER bob", f"PASS{SECRET}"],
    "a space before": ["USER bob", f" PASS {SECRET}"],
    "Telnet signals before": ["USER bob", f"\xff\xf4\xff\xf2PASS {SECRET}"],
    "before USER": [f"PASS {SECRET}"],
    "twice": ["USER alice", f"PASS {SECRET}", f"PASS {SECRET}"],
    "alone": ["USER bob", SECRET, f"{SECRET} {SECRET}"],
    "a line that ends in LF only": ["USER bob", f"NOOP\nPASS {SECRET}"],
    "too long": ["USER bob", f"PASS {SECRET * 200}"],
    "account": ["USER bob", f"ACCT {SECRET}"],
    "site": ["USER alice", f"PASS {SECRET}", f"SITE PSWD {SECRET} {SECRET}", f"SITE {SECRET}"],
    "security data": [f"AUTH {SECRET}", f"ADAT {SECRET}", f"ENC {SECRET}"],
    "as an argument that is not wanted": [f"REIN {SECRET}", "USER alice", f"PASS {SECRET}", f"REIN {SECRET}"],
    "the application raises": ["USER mallory", f"PASS {SECRET}"],
}


@pytest.mark.parametrize("capture", ["metadata", "content"])
@pytest.mark.parametrize("way", WAYS)
def test_no_credential_leaves(
    recorder: Recorder,
    exported: Exported,
    tmp_path: Path,
    way: str,
    capture: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from sessionspan import settings

    monkeypatch.setenv("SESSIONSPAN_CAPTURE", capture)
    settings.reload()

    def fails(handler: Any, username: str, password: str) -> None:
        if username == "mallory":
            raise ValueError(f"{password} is wrong")

    everything = list(handlers.FTPHandler.proto_cmds)
    with serving(tmp_path, on_login_failed=fails, log_cmds_list=everything, max_login_attempts=9) as server:
        client = server.connect()
        client.read_reply()
        for line in [*WAYS[way], "QUIT"]:
            client.send(line.encode("latin-1") + b"\r\n")
            with contextlib.suppress(OSError):
                client.read_reply()
        client.close()
        recorder.wait_for_session()
    wire = encode_spans(recorder.spans).SerializeToString() + encode_logs(exported.records).SerializeToString()
    assert b"session.end" in wire  # the haystack is the real one
    assert b"FTP session opened" in wire
    assert found_in(wire, [SECRET.encode()]) == []
    assert found_in(recorder.everything().encode(), [SECRET.encode()]) == []


@pytest.mark.parametrize(
    ("level", "text", "admitted"),
    [
        (logging.INFO, "127.0.0.1:1-[alice] USER 'alice' logged in.", True),
        (logging.INFO, "127.0.0.1:1-[alice] STOR /srv/x completed=1 bytes=5 seconds=0.0", True),
        (logging.DEBUG, "127.0.0.1:1-[] <- NOOP", False),
        (logging.INFO, "127.0.0.1:1-[bob] PASS hunter2 530", False),
        (logging.ERROR, "Traceback (most recent call last): ... hunter2", False),
    ],
)
def test_lines_of_its_own_log_leave_unless_they_may_quote_the_wire(level: int, text: str, admitted: bool) -> None:
    record = logging.LogRecord("pyftpdlib", level, "log.py", 1, text, (), None)
    assert WIRE_LOG.admits(record) is admitted
