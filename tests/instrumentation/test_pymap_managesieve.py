"""pymap, really serving ManageSieve, and what its sessions say."""

from __future__ import annotations

import contextlib
import importlib
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.trace import SpanKind, StatusCode
from proxyprotocol.version import ProxyProtocolVersion
from pymap.backend.dict import DictBackend
from pymap.sieve.manage import ManageSieveServer
from pymap.sieve.manage.state import FilterState

from sessionspan import current_session
from sessionspan.testing import Recorder
from tests.instrumentation.kit_pymap import B64, PASSWORD, SECRET, Client, Server, instrumented_pymap, serving

managesieve: Any = importlib.import_module("sievelib.managesieve")

SCRIPT = 'require ["fileinto"];\r\n# AUTHENTICATE "PLAIN" "eA=="\r\nfileinto "x";\r\n'
LOGIN = b'AUTHENTICATE "PLAIN" "' + B64(b"\0alice\0" + SECRET) + b'"'


@pytest.fixture(autouse=True)
def instrumented(recorder: Recorder) -> Iterator[None]:
    with instrumented_pymap(recorder):
        yield


def sieve(tls: bool = False, **options: Any) -> AbstractContextManager[Server]:
    return serving(kind=ManageSieveServer, tls=tls, **options)


def greeted(server: Server, header: bytes = b"") -> Client:
    client = server.connect(header)
    client.read_to(b"OK")
    return client


def commands(recorder: Recorder) -> list[str]:
    return [
        " ".join(
            str(event[key])
            for key in ("sessionspan.command.name", "sessionspan.reply.status", "sessionspan.reply.response_code")
            if key in event.attributes
        )
        for event in recorder.named("command")
    ]


def attributes(recorder: Recorder) -> dict[str, Any]:
    return dict(recorder.wait_for_session().attributes or {})


# The story.


@pytest.mark.filterwarnings("ignore:Credentials are sent over an unencrypted connection")
def test_a_session_is_one_root_server_span_with_an_event_per_step(recorder: Recorder) -> None:
    with sieve() as server:
        client = managesieve.Client(*server.address)
        assert not client.connect("alice", "wrong", authmech="PLAIN")
        assert client.connect("alice", PASSWORD, authmech="LOGIN")
        assert client.havespace("mine", 100)
        assert client.putscript("mine", SCRIPT)
        assert not client.checkscript("no such thing")
        assert client.getscript("mine").split() == SCRIPT.split()
        assert client.setactive("mine")
        assert "mine" in client.listscripts()[0]
        with pytest.raises(managesieve.Error, match="closed by server"):
            client.logout()  # pymap answers BYE
        _, span = recorder.wait_for_sessions(2)
    assert (span.name, span.kind, span.parent) == ("MANAGESIEVE session", SpanKind.SERVER, None)
    assert span.status.status_code is StatusCode.UNSET
    told = dict(span.attributes or {})
    assert told["network.protocol.name"] == "managesieve"
    assert told["protocol"] == "MANAGESIEVE"
    assert told["client.address"] == told["client_ip"] == "127.0.0.1"
    assert told["user.name"] == told["username"] == "alice"
    assert (told["sessionspan.outcome"], told["sessionspan.end_reason"]) == ("ok", "quit")
    assert told["sessionspan.command.failed.count"] == 1
    assert commands(recorder) == [
        "AUTHENTICATE no",
        "AUTHENTICATE ok",
        "HAVESPACE ok",
        "PUTSCRIPT ok",
        "CHECKSCRIPT no",
        "GETSCRIPT ok",
        "SETACTIVE ok",
        "LISTSCRIPTS ok",
        "LOGOUT bye",
    ]
    assert [event.name for event in recorder.of(span) if event.name != "command"] == [
        "session.start",
        "auth.success",
        "auth.end",
        "session.end",
    ]
    assert [event["error.type"] for event in recorder.named("auth.failure")] == ["invalid_credentials"]
    assert "fileinto" not in recorder.everything()


def test_an_exchange_in_steps_is_a_login(recorder: Recorder) -> None:
    with sieve() as server:
        client = greeted(server)
        assert client.managesieve(b'AUTHENTICATE "LOGIN"').startswith(b'"')
        assert client.managesieve(b'"' + B64(b"alice") + b'"').startswith(b'"')
        assert client.managesieve(b"{%d+}\r\n" % len(B64(SECRET)) + B64(SECRET)) == b"OK"
        assert client.managesieve(b"UNAUTHENTICATE") == b"OK"
        client.managesieve(b"LOGOUT")
        assert attributes(recorder)["user.name"] == "alice"
    (success,) = recorder.named("auth.success")
    assert success["sessionspan.auth.mechanism"] == "LOGIN"
    assert recorder.transcript()[-4:] == [
        "auth.end alice",
        "command UNAUTHENTICATE ok",
        "command LOGOUT bye",
        "session.end",
    ]


def test_a_refusal_has_its_code(recorder: Recorder) -> None:
    with sieve() as server:
        client = greeted(server)
        client.managesieve(LOGIN)
        client.managesieve(b'GETSCRIPT "none"')
        client.managesieve(b'HAVESPACE "x" 99999999999')
        client.managesieve(b'NOOP "x"')
        client.managesieve(b"LOGOUT")
        told = attributes(recorder)
    assert commands(recorder)[1:] == [
        "GETSCRIPT no NONEXISTENT",
        "HAVESPACE no QUOTA/MAXSIZE",
        "NOOP ok TAG",
        "LOGOUT bye",
    ]
    assert told["sessionspan.command.failed.count"] == 2


def test_starttls_goes_on_in_the_same_session(recorder: Recorder) -> None:
    with sieve(tls=True) as server:
        client = greeted(server)
        assert client.managesieve(LOGIN).startswith(b"NO")
        assert client.managesieve(b"STARTTLS") == b"OK"
        client.shake_hands()
        assert client.read_to(b"OK") == b"OK"
        assert client.managesieve(b"STARTTLS").startswith(b"NO")
        assert client.managesieve(LOGIN) == b"OK"
        assert client.managesieve(b"CAPABILITY").startswith(b'"IMPLEMENTATION"')
        assert client.read_to(b"OK") == b"OK"
        client.managesieve(b"LOGOUT")
        told = attributes(recorder)
    assert told["sessionspan.tls.mode"] == "starttls"
    assert told["tls.protocol.version"] == "1.3"
    assert told["user.name"] == "alice"
    assert len(recorder.named("tls.established")) == 1
    assert commands(recorder) == [
        "AUTHENTICATE no",
        "STARTTLS ok",
        "STARTTLS no",
        "AUTHENTICATE ok",
        "CAPABILITY ok",
        "LOGOUT bye",
    ]


def test_a_starttls_handshake_that_fails_is_tls_failed(recorder: Recorder) -> None:
    with sieve(tls=True) as server:
        client = greeted(server)
        assert client.managesieve(b"STARTTLS") == b"OK"
        client.send(b"this is no handshake\r\n" * 10)
        told = attributes(recorder)
    assert told["sessionspan.end_reason"] == "tls_failed"
    assert recorder.named("tls.failure")


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

    with sieve(backend=Backend) as server:
        client = greeted(server)
        client.managesieve(LOGIN)
        client.close()
        told = attributes(recorder)
    assert [session.id for session in seen] == [told["sessionspan.session.id"]]


# The backend's errors, which pymap answers with NO.


def test_a_backend_that_raises_is_an_error_without_its_text(recorder: Recorder) -> None:
    class Backend(DictBackend):
        def __init__(self, login: Any, config: Any) -> None:
            super().__init__(login, config)

            async def authenticate(credentials: Any) -> Any:
                raise LookupError(f"no {PASSWORD}")

            login.authenticate = authenticate

    with sieve(backend=Backend) as server:
        client = greeted(server)
        assert client.managesieve(LOGIN) == b'NO "Server error."'
        client.managesieve(b"LOGOUT")
        told = attributes(recorder)
    assert (told["sessionspan.outcome"], told["error.type"]) == ("error", "LookupError")
    assert told["sessionspan.end_reason"] == "quit"
    assert PASSWORD not in recorder.everything()


def test_a_script_that_cannot_be_stored_is_an_error(recorder: Recorder, monkeypatch: pytest.MonkeyPatch) -> None:
    async def full(self: Any, cmd: Any) -> Any:
        raise OSError("disk full")

    monkeypatch.setattr(FilterState, "_do_put_script", full)
    with sieve() as server:
        client = greeted(server)
        client.managesieve(LOGIN)
        assert client.managesieve(b'PUTSCRIPT "x" {4+}\r\nkeep') == b'NO "Server error."'
        client.managesieve(b"LOGOUT")
        told = attributes(recorder)
    assert (told["sessionspan.outcome"], told["error.type"]) == ("error", "OSError")


@pytest.mark.parametrize("line", [LOGIN[:-8] + b'"', b'AUTHENTICATE "PLAIN" "!"', b'AUTHENTICATE "PLAIN" "eA=="'])
def test_a_client_that_cannot_log_in_is_no_error_of_the_application(recorder: Recorder, line: bytes) -> None:
    with sieve() as server:
        client = greeted(server)
        assert client.managesieve(line).startswith(b"NO")
        client.managesieve(b"LOGOUT")
        told = attributes(recorder)
    assert "error.type" not in told
    assert told["sessionspan.outcome"] == "auth_failed"


# Ends.


def test_a_client_that_goes_without_logout_is_peer_eof(recorder: Recorder) -> None:
    with sieve() as server:
        greeted(server).close()
        told = attributes(recorder)
    assert (told["sessionspan.end_reason"], told["sessionspan.outcome"]) == ("peer_eof", "ok")


def test_a_client_that_goes_within_its_script_has_aborted(recorder: Recorder) -> None:
    with sieve() as server:
        client = greeted(server)
        client.managesieve(LOGIN)
        client.send(b'PUTSCRIPT "x" {1000+}\r\nhalf')
        client.close()
        told = attributes(recorder)
    assert (told["sessionspan.end_reason"], told["sessionspan.outcome"]) == ("peer_eof", "aborted")


def test_a_reset_is_peer_reset(recorder: Recorder) -> None:
    with sieve() as server:
        greeted(server).reset()
        told = attributes(recorder)
    assert told["sessionspan.end_reason"] == "peer_reset"
    assert "error.type" not in told


def test_a_stopped_server_is_shutdown(recorder: Recorder) -> None:
    with sieve() as server:
        client = greeted(server)
    assert attributes(recorder)["sessionspan.end_reason"] == "shutdown"
    client.close()


def test_an_endless_line_is_a_limit_and_no_failure_of_the_application(recorder: Recorder) -> None:
    with sieve() as server:
        client = greeted(server)
        with contextlib.suppress(OSError):
            client.send(b"x" * 1_000_000)
        told = attributes(recorder)
    assert "error.type" not in told
    assert told["sessionspan.end_reason"] == "limit"


# Proxies, sockets.


def test_behind_a_proxy_the_client_is_the_real_one(recorder: Recorder) -> None:
    with sieve(proxy_protocol=ProxyProtocolVersion.V1.value) as server:
        client = greeted(server, b"PROXY TCP4 192.0.2.7 192.0.2.1 4321 4190\r\n")
        client.managesieve(b"LOGOUT")
        told = attributes(recorder)
    assert (told["client.address"], told["client.port"]) == ("192.0.2.7", 4321)
    assert told["sessionspan.proxy.protocol"] == "proxy_v1"


def test_a_unix_socket_has_a_path_and_no_client_address(recorder: Recorder, tmp_path: Path) -> None:
    with sieve(path=tmp_path / "sieve") as server:
        greeted(server).managesieve(b"LOGOUT")
        told = attributes(recorder)
    assert told["network.local.address"] == str(tmp_path / "sieve")
    assert "client.address" not in told


# Many, and evil ones.


def test_a_hundred_sessions_at_once_mix_nothing(recorder: Recorder) -> None:
    together = threading.Barrier(100)

    def speak(number: int) -> None:
        client = greeted(server)
        together.wait(30)
        wrong = B64(b"\0user%d\0wrong" % number)
        client.send(b'AUTHENTICATE "PLAIN" {%d+}\r\n%b\r\n' % (len(wrong), wrong) + LOGIN + b'\r\nNOOP "x"\r\n')
        client.read_to(b"OK (TAG")
        if number % 5:
            client.managesieve(b"LOGOUT")
        client.reset() if number % 2 else client.close()

    with sieve() as server, ThreadPoolExecutor(100) as pool:
        list(pool.map(speak, range(100)))
        spans = recorder.wait_for_sessions(100, 30)
    assert len({(span.attributes or {})["sessionspan.session.id"] for span in spans}) == 100
    tried = set()
    for span in spans:
        events = recorder.of(span)
        (failure,) = [event for event in events if event.name == "auth.failure"]
        tried.add(failure["sessionspan.auth.user.name"])
        names = [event["sessionspan.command.name"] for event in events if event.name == "command"]
        assert names[:3] == ["AUTHENTICATE", "AUTHENTICATE", "NOOP"]
        assert (span.attributes or {})["user.name"] == "alice"
    assert tried == {f"user{number}" for number in range(100)}


@pytest.mark.parametrize(
    "evil",
    [
        b"\xff\xfe\x00 LOGIN \x00 \xff\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b'PUTSCRIPT "x" {999999999999999+}\r\n',
        b'PUTSCRIPT "x" {99999999999999999999+}\r\n',
        b'PUTSCRIPT "x" {9}\r\nNOOP\r\n',
        b"AUTHENTICATE {5+}\r\n",
        b"NOOP\nNOOP\n",
        b"\r\n\r\n\r\n",
        b'AUTHENTICATE "PLAIN"\r\nNOOP\r\nNOOP\r\n',
        b"NOOP {5-}\r\nNOOP ~{5+}\r\n12345\r\n",
        b"OK\r\nNO\r\nBYE\r\n",
    ],
)
@pytest.mark.parametrize("goes", ["eof", "reset"])
def test_an_evil_client_is_one_session(recorder: Recorder, evil: bytes, goes: str) -> None:
    with sieve() as server:
        client = greeted(server)
        client.send(evil)
        client.reset() if goes == "reset" else client.close()
        span = recorder.wait_for_session()
    assert span.status.status_code is StatusCode.UNSET


@pytest.mark.parametrize(
    "before",
    [
        b"NOOP {5-}",
        b"NOOP {5}",
        b"{9}",
        b"NOOP {0+}\r\n",
        b"NOOP {2+}\r\nab {2+}\r\ncd",
        b'PUTSCRIPT "x {3+}\r\n...',
        b"nonsense",
        b'AUTHENTICATE "PLAIN"\r\n{9}',
        b'AUTHENTICATE"PLAIN"\r\n"*"',
        b"STARTTLS",
        b"(NOOP)",
    ],
)
def test_no_line_hides_the_login_behind_it(recorder: Recorder, before: bytes) -> None:
    """What the observer takes for a literal, a word or an exchange is what pymap takes for one."""
    with sieve() as server:
        client = greeted(server)
        client.send(before + b"\r\n" + LOGIN + b"\r\nLOGOUT\r\n")
        client.read_to(b"BYE")
        told = attributes(recorder)
    assert told["user.name"] == "alice"
    assert commands(recorder)[-2:] == ["AUTHENTICATE ok", "LOGOUT bye"]


def test_a_login_that_pymap_takes_for_an_answer_is_none(recorder: Recorder) -> None:
    """pymap does not look at what follows the mechanism, when it is no string, and asks."""
    with sieve() as server:
        client = greeted(server)
        client.send(b'AUTHENTICATE "PLAIN" {9}\r\n' + LOGIN + b"\r\nLOGOUT\r\n")
        client.read_to(b"BYE")
        told = attributes(recorder)
    assert "user.name" not in told
    assert commands(recorder) == ["AUTHENTICATE no", "LOGOUT bye"]
