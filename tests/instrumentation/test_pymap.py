"""pymap, really serving IMAP, and what its sessions say."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import imaplib
import logging
import socket
import ssl
import threading
from argparse import Namespace
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import trustme
from opentelemetry.exporter.otlp.proto.common._log_encoder import encode_logs
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.instrumentation.logging.handler import LoggingHandler
from opentelemetry.trace import SpanKind, StatusCode
from proxyprotocol.reader import ProxyProtocolReader
from proxyprotocol.version import ProxyProtocolVersion
from pymap.backend.dict import DictBackend
from pymap.imap import IMAPServer
from pysasl.hashing import BuiltinHash

from sessionspan import current_session
from sessionspan import settings as settings_module
from sessionspan.guard import guard
from sessionspan.testing import Recorder
from sessionspan_pymap import PymapInstrumentor
from tests.canary import found_in
from tests.exported import Exported

AUTHORITY = trustme.CA()
SECRET = b"CanaryPassw0rd-7f3a/?=x"
B64 = base64.b64encode
PASSWORD = SECRET.decode()


@pytest.fixture(autouse=True)
def instrumented(recorder: Recorder) -> Iterator[None]:
    before = guard.failures
    PymapInstrumentor().instrument(
        tracer_provider=recorder.tracer_provider,
        logger_provider=recorder.logger_provider,
        meter_provider=recorder.meter_provider,
    )
    yield
    PymapInstrumentor().uninstrument()
    assert guard.failures == before


class Server:
    """A running server, and clients for it."""

    def __init__(self, address: Any, loop: asyncio.AbstractEventLoop) -> None:
        self.address = address
        self.loop = loop

    def connect(self, header: bytes = b"") -> Client:
        connection = socket.socket(socket.AF_UNIX if isinstance(self.address, str) else socket.AF_INET)
        connection.settimeout(10)
        connection.connect(self.address)
        connection.sendall(header)
        return Client(connection)

    def imap(self) -> imaplib.IMAP4:
        return imaplib.IMAP4(self.address[0], self.address[1], timeout=10)

    def login(self) -> imaplib.IMAP4:
        client = self.imap()
        client.login("alice", PASSWORD)
        return client


class Client:
    """Speaks raw lines, so that the bytes on the wire are the test's own."""

    def __init__(self, connection: socket.socket) -> None:
        self.socket = connection
        self.address = connection.getsockname()
        self._file = connection.makefile("rb")

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def read_line(self) -> bytes:
        return self._file.readline().rstrip(b"\r\n")

    def read_to(self, *starts: bytes) -> bytes:
        """Lines up to one that begins with one of *starts*; b"" at the end of the connection."""
        while True:
            line = self.read_line()
            if not line or line.startswith(starts):
                return line

    def command(self, line: bytes) -> bytes:
        self.send(line + b"\r\n")
        return self.read_to(line.partition(b" ")[0], b"+", b"* BYE", b"* BAD")

    def starttls(self) -> None:
        context = ssl.create_default_context()
        AUTHORITY.configure_trust(context)
        assert self.command(b"t STARTTLS").startswith(b"t OK")
        self.socket = context.wrap_socket(self.socket, server_hostname="127.0.0.1")
        self._file = self.socket.makefile("rb")

    def reset(self) -> None:
        """Close with a RST instead of a FIN."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.close()

    def close(self) -> None:
        self._file.close()
        self.socket.close()


@contextlib.contextmanager
def serving(
    *, backend: type[DictBackend] = DictBackend, path: Path | None = None, **overrides: Any
) -> Iterator[Server]:
    """Serve the demo mailboxes of alice in a thread, on a free port or a unix socket."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    AUTHORITY.issue_cert("127.0.0.1").configure_cert(context)
    args = Namespace(
        host=None,
        port=0,
        debug=False,
        cert=None,
        key=None,
        tls=True,
        passlib_cfg=None,
        proxy_protocol=None,
        demo_data=True,
        demo_user="alice",
        demo_password=PASSWORD,
    )
    overrides = {
        "ssl_context": context,
        "hash_context": BuiltinHash(hash_name="sha256", salt_len=8, rounds=1),
        "invalid_user_sleep": 0.0,
        **overrides,
    }
    loop = asyncio.new_event_loop()
    held = []  # nobody else holds the task that serves a connection, in Python 3.13

    async def listen() -> asyncio.Server:
        served, config = await backend.init(args, **overrides)
        config.apply_context()
        serve = ProxyProtocolReader(config.proxy_protocol).get_callback(
            IMAPServer(served.login, config), timeout=10
        )

        async def callback(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            held.append((reader, writer))
            await serve(reader, writer)

        if path is not None:
            return await asyncio.start_unix_server(callback, str(path))
        return await asyncio.start_server(callback, "127.0.0.1", 0)

    server = loop.run_until_complete(listen())
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield Server(server.sockets[0].getsockname(), loop)
    finally:
        loop.call_soon_threadsafe(_stop, loop)
        thread.join()
        server.close()
        loop.run_until_complete(asyncio.sleep(0))
        loop.close()


def _stop(loop: asyncio.AbstractEventLoop) -> None:
    for task in asyncio.all_tasks(loop):
        task.cancel()
    loop.call_later(0.05, loop.stop)


def commands(recorder: Recorder) -> list[str]:
    return [
        f"{event['sessionspan.command.name']} {event['sessionspan.reply.status']}"
        for event in recorder.named("command")
    ]


def attributes(recorder: Recorder) -> dict[str, Any]:
    return dict(recorder.wait_for_session().attributes or {})


# The story.


def test_a_session_is_one_root_server_span_with_an_event_per_step(recorder: Recorder) -> None:
    with serving() as server:
        client = server.imap()
        with pytest.raises(imaplib.IMAP4.error):
            client.login("alice", "wrong")
        client.login("alice", PASSWORD)
        assert client.select("INBOX")[0] == "OK"
        assert client.fetch("1:*", "(FLAGS BODY[])")[0] == "OK"
        assert client.uid("SEARCH", "ALL")[0] == "OK"
        assert client.append("Sent", "(\\Seen)", "", b"Subject: hi\r\n\r\n9 OK forged\r\n")[0] == "OK"
        assert client.select("nowhere")[0] == "NO"
        client.logout()
        span = recorder.wait_for_session()
    assert (span.name, span.kind, span.parent) == ("IMAP session", SpanKind.SERVER, None)
    assert span.status.status_code is StatusCode.UNSET
    told = dict(span.attributes or {})
    assert told["network.protocol.name"] == "imap"
    assert told["client.address"] == told["client_ip"] == "127.0.0.1"
    assert told["user.name"] == told["username"] == "alice"
    assert told["sessionspan.outcome"] == "ok"
    assert told["sessionspan.end_reason"] == "quit"
    assert told["sessionspan.command.failed.count"] == 2
    assert commands(recorder) == [
        "CAPABILITY ok",
        "LOGIN no",
        "LOGIN ok",
        "SELECT ok",
        "FETCH ok",
        "UID SEARCH ok",
        "APPEND ok",
        "SELECT no",
        "LOGOUT ok",
    ]
    assert [line for line in recorder.transcript() if not line.startswith("command")] == [
        "session.start",
        "auth.failure invalid_credentials",
        "auth.success alice",
        "auth.end alice",
        "session.end",
    ]
    codes = [event.attributes.get("sessionspan.reply.response_code") for event in recorder.named("command")]
    assert codes[1] == "AUTHENTICATIONFAILED"
    assert codes[3] == "READ-WRITE"
    assert codes[6] == "APPENDUID"


@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN"])
@pytest.mark.parametrize("initial", [False, True])
def test_an_exchange_is_a_login(recorder: Recorder, mechanism: str, initial: bool) -> None:
    responses = [B64(b"\0alice\0" + SECRET)] if mechanism == "PLAIN" else [B64(b"alice"), B64(SECRET)]
    with serving() as server:
        client = server.connect()
        client.read_line()
        reply = client.command(b"1 AUTHENTICATE " + mechanism.encode())
        for response in responses:
            assert reply.startswith(b"+")
            client.send(response + b"\r\n")
            reply = client.read_to(b"+", b"1 ")
        assert reply.startswith(b"1 OK")
        client.command(b"2 LOGOUT")
        assert attributes(recorder)["user.name"] == "alice"
    (success,) = recorder.named("auth.success")
    assert success["sessionspan.auth.mechanism"] == mechanism


def test_idle_has_events_of_its_own_and_no_duration(recorder: Recorder) -> None:
    with serving() as server:
        client = server.connect()
        client.read_line()
        assert client.command(b"1 LOGIN alice {%d+}\r\n" % len(SECRET) + SECRET).startswith(b"1 OK")
        client.command(b"2 SELECT INBOX")
        assert client.command(b"3 IDLE").startswith(b"+")
        recorder.wait_for_event("idle.start")
        other = server.login()
        other.append("INBOX", "", "", b"Subject: news\r\n\r\n\r\n")
        other.logout()
        client.read_to(b"* ")
        client.send(b"DONE\r\n")
        client.read_to(b"3 OK")
        client.command(b"4 LOGOUT")
        recorder.wait_for_sessions(2)
    (idle,) = recorder.named("idle.end")
    (command,) = [e for e in recorder.named("command") if e["sessionspan.command.name"] == "IDLE"]
    assert idle["sessionspan.idle.duration"] > command["sessionspan.command.duration"]


def test_the_application_runs_inside_the_session(recorder: Recorder) -> None:
    seen: list[Any] = []

    class Backend(DictBackend):
        def __init__(self, login: Any, config: Any) -> None:
            super().__init__(login, config)
            authenticate = login.authenticate

            async def spying(credentials: Any) -> Any:
                seen.append(current_session())
                return await authenticate(credentials)

            login.authenticate = spying

    with serving(backend=Backend) as server:
        server.login().logout()
        told = attributes(recorder)
    assert [session.id for session in seen] == [told["sessionspan.session.id"]]


# Ends.


def test_a_client_that_goes_without_logout_is_peer_eof(recorder: Recorder) -> None:
    with serving() as server:
        client = server.connect()
        client.read_line()  # or the close would be a reset
        client.close()
        told = attributes(recorder)
    assert (told["sessionspan.end_reason"], told["sessionspan.outcome"]) == ("peer_eof", "ok")


def test_a_client_that_goes_within_its_message_has_aborted(recorder: Recorder) -> None:
    with serving() as server:
        client = server.connect()
        client.read_line()
        client.command(b"1 LOGIN alice " + SECRET)
        client.send(b"2 APPEND INBOX {1000+}\r\nhalf")
        client.close()
        told = attributes(recorder)
    assert (told["sessionspan.end_reason"], told["sessionspan.outcome"]) == ("peer_eof", "aborted")


def test_a_client_that_goes_while_idle_has_left_nothing_undone(recorder: Recorder) -> None:
    with serving() as server:
        client = server.connect()
        client.read_line()
        client.command(b"1 LOGIN alice " + SECRET)
        client.command(b"2 SELECT INBOX")
        client.command(b"3 IDLE")
        client.close()
        told = attributes(recorder)
    assert (told["sessionspan.end_reason"], told["sessionspan.outcome"]) == ("peer_eof", "ok")
    assert recorder.named("idle.end")


def test_a_reset_is_peer_reset(recorder: Recorder) -> None:
    with serving() as server:
        client = server.connect()
        client.read_line()
        client.reset()
        told = attributes(recorder)
    assert told["sessionspan.end_reason"] == "peer_reset"
    assert "error.type" not in told


def test_a_stopped_server_is_shutdown(recorder: Recorder) -> None:
    with serving() as server:
        client = server.connect()
        client.read_line()
    assert attributes(recorder)["sessionspan.end_reason"] == "shutdown"


def test_too_many_errors_are_the_servers_goodbye(recorder: Recorder) -> None:
    with serving(bad_command_limit=2) as server:
        client = server.connect()
        client.read_line()
        client.command(b"1 NONSENSE")
        client.command(b"2 NONSENSE")
        client.read_to(b"never")
        assert attributes(recorder)["sessionspan.end_reason"] == "local_close"
    assert commands(recorder) == ["_OTHER bad", "_OTHER bad"]


def test_a_backend_that_raises_is_an_error_without_its_text(recorder: Recorder) -> None:
    class Backend(DictBackend):
        def __init__(self, login: Any, config: Any) -> None:
            super().__init__(login, config)

            async def authenticate(credentials: Any) -> Any:
                raise ValueError(f"no {PASSWORD}")

            login.authenticate = authenticate

    with serving(backend=Backend) as server:
        client = server.connect()
        client.read_line()
        client.command(b"1 LOGIN alice " + SECRET)
        told = attributes(recorder)
    assert (told["sessionspan.outcome"], told["error.type"]) == ("error", "ValueError")
    assert told["sessionspan.end_reason"] == "handler_error"
    assert PASSWORD not in recorder.everything()
    (failure,) = recorder.named("auth.failure")
    assert failure["error.type"] == "temporary"  # BYE [SERVERBUG]


def test_an_endless_line_is_a_limit_and_no_failure_of_the_application(recorder: Recorder) -> None:
    with serving() as server:
        client = server.connect()
        client.read_line()
        with contextlib.suppress(OSError):
            client.send(b"x" * 1_000_000)
        told = attributes(recorder)
    assert "error.type" not in told
    assert told["sessionspan.end_reason"] == "limit"


# TLS, proxies, sockets.


def test_starttls_goes_on_in_the_same_session(recorder: Recorder) -> None:
    with serving() as server:
        client = server.connect()
        client.read_line()
        client.starttls()
        client.command(b"1 LOGIN alice " + SECRET)
        client.command(b"2 LOGOUT")
        told = attributes(recorder)
    assert told["sessionspan.tls.mode"] == "starttls"
    assert told["tls.protocol.version"] == "1.3"
    assert told["user.name"] == "alice"
    assert commands(recorder) == ["STARTTLS ok", "LOGIN ok", "LOGOUT ok"]


def test_a_starttls_handshake_that_fails_is_tls_failed(recorder: Recorder) -> None:
    with serving() as server:
        client = server.connect()
        client.read_line()
        assert client.command(b"1 STARTTLS").startswith(b"1 OK")
        client.send(b"this is no handshake\r\n" * 10)
        told = attributes(recorder)
    assert told["sessionspan.end_reason"] == "tls_failed"
    assert recorder.named("tls.failure")


V2 = b"\r\n\r\n\0\r\nQUIT\n"


@pytest.mark.parametrize(
    ("version", "header", "protocol", "client"),
    [
        ("V1", b"PROXY TCP4 192.0.2.7 192.0.2.1 4321 143\r\n", "proxy_v1", ("192.0.2.7", 4321)),
        ("DETECT", b"PROXY TCP6 2001:db8::7 ::1 4321 143\r\n", "proxy_v1", ("2001:db8::7", 4321)),
        ("V2", V2 + b"\x21\x11\0\x0c\xc0\0\2\7\xc0\0\2\1\x10\xe1\0\x8f", "proxy_v2", ("192.0.2.7", 4321)),
        ("DETECT", V2 + b"\x21\x11\0\x0c\xc0\0\2\7\xc0\0\2\1\x10\xe1\0\x8f", "proxy_v2", ("192.0.2.7", 4321)),
        ("V1", b"PROXY UNKNOWN\r\n", "proxy_v1", (None, None)),
    ],
)
def test_behind_a_proxy_the_client_is_the_real_one(
    recorder: Recorder, version: str, header: bytes, protocol: str, client: tuple[str | None, int | None]
) -> None:
    with serving(proxy_protocol=ProxyProtocolVersion[version].value) as server:
        connection = server.connect(header)
        connection.read_line()
        connection.command(b"1 LOGOUT")
        told = attributes(recorder)
    assert (told.get("client.address"), told.get("client.port")) == client
    assert told["sessionspan.proxy.protocol"] == protocol
    assert told["network.peer.address"] == told["sessionspan.proxy.address"] == "127.0.0.1"


def test_a_proxys_own_health_check_is_no_session(recorder: Recorder) -> None:
    with serving(proxy_protocol=ProxyProtocolVersion.V2.value) as server:
        connection = server.connect(V2 + b"\x20\0\0\0")
        connection.read_line()
        connection.command(b"1 LOGOUT")
        connection.close()
    assert recorder.events == []


def test_a_malformed_proxy_header_is_proxy_invalid(recorder: Recorder) -> None:
    with serving(proxy_protocol=ProxyProtocolVersion.V1.value) as server:
        server.connect(b"PROXY nonsense\r\n").read_line()
        told = attributes(recorder)
    assert told["sessionspan.end_reason"] == "proxy_invalid"
    assert "client.address" not in told


def test_a_unix_socket_has_a_path_and_no_client_address(recorder: Recorder, tmp_path: Path) -> None:
    with serving(path=tmp_path / "imap") as server:
        client = server.connect()
        client.read_line()
        client.command(b"1 LOGOUT")
        told = attributes(recorder)
    assert told["network.transport"] == "unix"
    assert told["network.local.address"] == str(tmp_path / "imap")
    assert "client.address" not in told


def test_ignored_clients_are_no_sessions(recorder: Recorder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SESSIONSPAN_IGNORE_CLIENTS", "127.0.0.0/8")
    settings_module.reload()
    with serving() as server:
        server.login().logout()
    assert recorder.events == []


# Many, and evil ones.


def test_a_hundred_sessions_at_once_mix_nothing(recorder: Recorder) -> None:
    together = threading.Barrier(100)

    def speak(number: int) -> None:
        client = server.connect()
        client.read_line()
        together.wait(30)
        user = b"user%d" % number
        client.send(b"a LOGIN %b wrong\r\nb LOGIN alice {%d+}\r\n%b\r\nc NOOP\r\n" % (user, len(SECRET), SECRET))
        client.read_to(b"c OK")
        if number % 5:
            client.command(b"d LOGOUT")
        client.reset() if number % 2 else client.close()

    with serving() as server, ThreadPoolExecutor(100) as pool:
        list(pool.map(speak, range(100)))
        spans = recorder.wait_for_sessions(100, 30)
    assert len(spans) == 100
    ids = {(span.attributes or {})["sessionspan.session.id"] for span in spans}
    assert len(ids) == 100
    tried = set()
    for span in spans:
        events = recorder.of(span)
        (failure,) = [event for event in events if event.name == "auth.failure"]
        tried.add(failure["sessionspan.auth.user.name"])
        names = [event["sessionspan.command.name"] for event in events if event.name == "command"]
        assert names[:3] == ["LOGIN", "LOGIN", "NOOP"]
        assert (span.attributes or {})["user.name"] == "alice"
    assert tried == {f"user{number}" for number in range(100)}


@pytest.mark.parametrize(
    "evil",
    [
        b"\xff\xfe\x00 LOGIN \x00 \xff\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"1 APPEND INBOX {999999999999999}\r\n",
        b"1 LOGIN {999999999}\r\n",
        b"1 LOGIN {5+}\r\n",
        b"1 NOOP\n2 NOOP\n",
        b"\r\n\r\n\r\n",
        b"1 AUTHENTICATE PLAIN\r\n2 NOOP\r\n3 NOOP\r\n",
        b"1 IDLE\r\n2 NOOP\r\n",
        b"* OK\r\n+ go\r\n",
    ],
)
@pytest.mark.parametrize("goes", ["eof", "reset"])
def test_an_evil_client_is_one_session(recorder: Recorder, evil: bytes, goes: str) -> None:
    with serving() as server:
        client = server.connect()
        client.read_line()
        client.send(evil)
        client.reset() if goes == "reset" else client.close()
        span = recorder.wait_for_session()
    assert span.status.status_code is StatusCode.UNSET


# No credential leaves.


@pytest.fixture
def exported(recorder: Recorder) -> Iterator[Exported]:
    """All of pymap's logging at DEBUG goes to OTel, as with opentelemetry-instrumentation-logging."""
    kept = Exported()
    recorder.logger_provider.add_log_record_processor(kept)
    handler = LoggingHandler(logger_provider=recorder.logger_provider)
    logger = logging.getLogger("pymap")
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    yield kept
    logger.removeHandler(handler)
    logger.setLevel(logging.NOTSET)


SIZE = len(SECRET)
GOOD, BAD = B64(b"\0alice\0" + SECRET), B64(b"\0bob\0" + SECRET)
WAYS: dict[str, bytes] = {
    "login, accepted": b"1 LOGIN alice " + SECRET,
    "login, refused": b"1 LOGIN bob " + SECRET,
    "login, quoted": b'1 LOGIN "bob" "' + SECRET + b'"',
    "login, quote not closed": b'1 LOGIN "bob" "' + SECRET,
    "login, literals": b"1 LOGIN {3+}\r\nbob {%d+}\r\n" % SIZE + SECRET,
    "login, literal without a wait": b"1 LOGIN bob {%d}\r\n" % SIZE + SECRET,
    "login, literal too short": b"1 LOGIN bob {3+}\r\n" + SECRET,
    "login, literal too long": b"1 LOGIN bob {%d+}\r\n" % (SIZE + 2) + SECRET + b"\r\n",
    "login, password only": b"1 LOGIN " + SECRET,
    "login, password only, quoted": b'1 LOGIN "' + SECRET + b'"',
    "login, password only, literal": b"1 LOGIN {%d+}\r\n" % SIZE + SECRET,
    "login, twice": b"1 LOGIN alice " + SECRET + b"\r\n2 LOGIN alice " + SECRET,
    "login without a tag": b"LOGIN bob " + SECRET,
    "plain, accepted": b"1 AUTHENTICATE PLAIN\r\n" + GOOD,
    "plain, refused": b"1 AUTHENTICATE PLAIN\r\n" + BAD,
    "plain, initial": b"1 AUTHENTICATE PLAIN " + GOOD,
    "plain, initial as literal": b"1 AUTHENTICATE PLAIN {%d+}\r\n" % len(BAD) + BAD,
    "plain, with authzid": b"1 AUTHENTICATE PLAIN\r\n" + B64(b"carol\0bob\0" + SECRET),
    "plain, malformed": b"1 AUTHENTICATE PLAIN\r\n" + SECRET,
    "plain, not split": b"1 AUTHENTICATE PLAIN\r\n" + B64(SECRET),
    "plain, cancelled, password too late": b"1 AUTHENTICATE PLAIN\r\n*\r\n" + GOOD,
    "plain, again": b"1 AUTHENTICATE PLAIN\r\n" + BAD + b"\r\n" + BAD,
    "login mechanism": b"1 AUTHENTICATE LOGIN\r\n" + B64(b"bob") + b"\r\n" + B64(SECRET),
    "login mechanism, plain text": b"1 AUTHENTICATE LOGIN\r\nbob\r\n" + SECRET,
    "unknown mechanism": b"1 AUTHENTICATE X-NONE " + B64(SECRET),
    "the mechanism is the password": b"1 AUTHENTICATE " + B64(SECRET),
    "a bare password": SECRET + b"\r\n" + B64(SECRET),
    "the tag is the password": SECRET + b" NOOP\r\n" + SECRET + b" LOGIN bob x",
    "the command is the password": b"1 " + SECRET + b"\r\n1 UID " + SECRET,
    "password as argument": b"1 SELECT " + SECRET + b"\r\n2 APPEND x {%d+}\r\n" % SIZE + SECRET,
    "password in idle": b"0 LOGIN alice " + SECRET + b"\r\n1 SELECT INBOX\r\n2 IDLE\r\n" + SECRET,
}


@pytest.mark.parametrize("capture", ["metadata", "content"])
@pytest.mark.parametrize("way", WAYS)
def test_no_credential_leaves(
    recorder: Recorder, exported: Exported, way: str, capture: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SESSIONSPAN_CAPTURE", capture)
    settings_module.reload()
    with serving() as server:
        client = server.connect()
        client.read_line()
        client.send(WAYS[way] + b"\r\nz LOGOUT\r\n")
        client.socket.settimeout(0.2)
        with contextlib.suppress(OSError):
            client.read_to(b"z ")
        client.close()
        recorder.wait_for_session()
    wire = encode_spans(recorder.spans).SerializeToString() + encode_logs(exported.records).SerializeToString()
    assert b"session.end" in wire  # the haystack is the real one
    assert b"+++|" in wire
    assert found_in(wire, [SECRET]) == []
    assert found_in(recorder.everything().encode(), [SECRET]) == []


@pytest.mark.parametrize("logger", ["pymap.imap", "pymap.sieve.manage"])
def test_no_wire_log_of_the_library_is_exported(recorder: Recorder, exported: Exported, logger: str) -> None:
    logging.getLogger(logger).debug("%s -->| %s", 1, b"LOGIN alice secret")
    logging.getLogger("pymap.backend").debug("a line of another kind")
    assert [str(record.log_record.body) for record in exported.records] == ["a line of another kind"]
