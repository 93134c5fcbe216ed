"""pymap, really serving IMAP, and what its sessions say."""

from __future__ import annotations

import contextlib
import imaplib
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.trace import SpanKind, StatusCode
from proxyprotocol.version import ProxyProtocolVersion
from pymap.backend.dict import DictBackend

from sessionspan import current_session, heartbeat
from sessionspan import settings as settings_module
from sessionspan.testing import Recorder
from tests.instrumentation.kit_pymap import B64, PASSWORD, SECRET, instrumented_pymap, serving


@pytest.fixture(autouse=True)
def instrumented(recorder: Recorder) -> Iterator[None]:
    with instrumented_pymap(recorder):
        yield


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
    assert [line for line in recorder.transcript() if not line.startswith(("command", "store."))] == [
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


def test_what_is_done_to_messages_is_told(recorder: Recorder) -> None:
    message = b"Subject: hi\r\nMessage-ID: <hi@mail.example>\r\n\r\nbody\r\n"
    with serving() as server:
        client = server.login()
        _, (answer,) = client.append("Sent", "", "", message)
        appended = answer.partition(b"APPENDUID ")[2].partition(b"]")[0].split()[1].decode()
        _, (exists,) = client.select("Sent")
        assert isinstance(exists, bytes)
        count = int(exists)
        client.fetch(str(count), "(UID FLAGS BODY.PEEK[HEADER])")
        assert [event.name for event in recorder.events if event.name.endswith("message.open")] == []
        client.fetch(str(count), "(BODY.PEEK[])")
        client.fetch("1:*", "(UID)")
        client.store(str(count), "+FLAGS.SILENT", "\\Deleted")
        client.expunge()
        client.store("1", "+FLAGS", "\\Deleted")
        assert len(recorder.named("store.message.delete")) == 1
        client.close()
        client.logout()
        recorder.wait_for_session()
    told = [line for line in recorder.transcript() if line.startswith("store.")]
    assert told[:3] == [f"store.message.{what} Sent {appended}" for what in ("store", "open", "delete")]
    assert [line.rpartition(" ")[0] for line in told[3:]] == ["store.message.delete Sent"]
    stored, opened = recorder.named("store.message.store") + recorder.named("store.message.open")
    for event in (stored, opened):
        assert event["sessionspan.mail.message.size"] == len(message)
        assert event["sessionspan.mail.message.id"] == "hi@mail.example"
        assert event["user.name"] == "alice"


def test_a_move_deletes_in_the_mailbox_that_it_leaves(recorder: Recorder) -> None:
    with serving() as server:
        client = server.connect()
        client.read_line()
        for line in (b"1 LOGIN alice " + SECRET, b"2 SELECT INBOX", b"3 FETCH 1 UID", b"4 MOVE 1 Sent"):
            assert b" OK " in client.command(line), line
        client.command(b"5 LOGOUT")
        recorder.wait_for_session()
    (deleted,) = recorder.named("store.message.delete")
    assert deleted["sessionspan.store.mailbox"] == "INBOX"
    assert deleted["sessionspan.mail.message.uid"]


def test_a_session_that_idles_has_a_heartbeat(recorder: Recorder, monkeypatch: pytest.MonkeyPatch) -> None:
    heartbeat.stop()
    monkeypatch.setattr(heartbeat, "INTERVAL", 0.05)
    with serving() as server:
        client = server.connect()
        client.read_line()
        for line in (b"1 LOGIN alice " + SECRET, b"2 SELECT INBOX", b"3 IDLE"):
            client.command(line)
        recorder.wait_for_event("idle.start")
        beats = len(recorder.named("session.heartbeat"))
        recorder.wait_until(lambda: len(recorder.named("session.heartbeat")) > beats, "heartbeat")
        client.close()
        recorder.wait_for_session()
    heartbeat.stop()
    assert recorder.named("session.heartbeat")[-1]["user.name"] == "alice"


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
        assert client.command(b"t STARTTLS").startswith(b"t OK")
        client.shake_hands()
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
