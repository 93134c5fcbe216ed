"""Servers that fork: what their children's sessions say arrives, and what is the parent's stays the parent's."""

from __future__ import annotations

import poplib
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.otlp_receiver import GRPC, HTTP, Receiver
from tests.programs import Program, terminate

# Long delays: what arrives was flushed because a process left, and not because it was time.
LATE = {"OTEL_BSP_SCHEDULE_DELAY": "3600000", "OTEL_BLRP_SCHEDULE_DELAY": "3600000"}

# What all of these servers serve, as people write it.
HANDLER = """
import os, signal, socket, socketserver, sys

class Handler(socketserver.StreamRequestHandler):
    def handle(self):
        self.wfile.write(b"+OK ready\\r\\n")
        for line in self.rfile:
            self.wfile.write(b"+OK\\r\\n")
            if line.upper().startswith(b"QUIT"):
                break

def listening():
    listener = socket.create_server(("127.0.0.1", int(os.environ["PORT"])), backlog=50)
    print("ready", flush=True)
    return listener
"""

FORKING = """
class Server(socketserver.ForkingTCPServer):
    allow_reuse_address = True

    def collect_children(self, *, blocking=False):
        before = len(self.active_children or ())
        super().collect_children(blocking=blocking)
        for _ in range(before - len(self.active_children or ())):
            print("left", flush=True)

with Server(("127.0.0.1", int(os.environ["PORT"])), Handler) as server:
    print("ready", flush=True)
    server.serve_forever(0.02)
"""

BY_HAND = """
listener = listening()
while True:
    connection, address = listener.accept()
    child = os.fork()
    if child == 0:
        Handler(connection, address, None)
        connection.close()
        os._exit(0)
    connection.close()
    os.waitpid(child, 0)
    print("left", flush=True)
"""

# Two workers, each with the same listener; each serves two connections, and goes as LEAVE says.
PRE_FORK = """
listener = listening()
def work():
    os.write(1, b"worker %d\\n" % os.getpid())  # in one piece: two processes write
    for _ in range(2):
        connection, address = listener.accept()
        Handler(connection, address, None)
        connection.close()
    LEAVE
WORKERS
"""
WORKERS = {
    "os.fork": """
children = []
for _ in range(2):
    child = os.fork()
    if child == 0:
        work()
    children.append(child)
for child in children:
    os.waitpid(child, 0)
""",
    "multiprocessing": """
import multiprocessing
context = multiprocessing.get_context("fork")
workers = [context.Process(target=work) for _ in range(2)]
for worker in workers:
    worker.start()
for worker in workers:
    worker.join()
""",
}


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as running:
        yield running


@pytest.fixture
def port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def environment(port: int) -> dict[str, str]:
    return LATE | {"PORT": str(port), "SESSIONSPAN_PORTS": f"{port}:pop3"}


def log_in(port: int, user: str) -> None:
    client = poplib.POP3("127.0.0.1", port, timeout=30)
    client.user(user)
    client.pass_("secret")
    client.quit()


def assert_all_is_there(receiver: Receiver, users: list[str]) -> None:
    """One span for each of *users*, and its log records from the first to the last."""
    receiver.wait_for_sessions(len(users))
    receiver.wait_until(lambda: len(receiver.named("session.end")) >= len(users), "all session.end")
    assert sorted(span.attributes["user.name"] for span in receiver.sessions) == sorted(users)
    for span in receiver.sessions:
        told = [event.event.removeprefix("sessionspan.") for event in receiver.events_of(span)]
        assert told == [
            "session.start",
            "command",
            "auth.success",
            "command",
            "command",
            "auth.end",
            "session.end",
        ]
        assert span.attributes["sessionspan.end_reason"] == "quit"


@pytest.mark.parametrize("protocol", [HTTP, GRPC])
@pytest.mark.parametrize("source", [FORKING, BY_HAND], ids=["ForkingTCPServer", "by hand"])
def test_the_session_of_each_child_arrives(
    source: str, protocol: str, tmp_path: Path, receiver: Receiver, port: int
) -> None:
    users = [f"user{number}" for number in range(5)]
    variables = receiver.environment(protocol) | environment(port)
    with Program(tmp_path, HANDLER + source, variables) as program:
        program.wait_for("ready")
        for user in users:
            log_in(port, user)
        assert_all_is_there(receiver, users)


# The parent has exported before it forks, and its exporter keeps the connection.
SAYS_SOMETHING = """
import logging
logging.getLogger("mine").warning("before")
from opentelemetry._logs import get_logger_provider
from opentelemetry import trace
trace.get_tracer("mine").start_span("before").end()
get_logger_provider().force_flush()
trace.get_tracer_provider().force_flush()
"""


@pytest.mark.parametrize("protocol", [HTTP, GRPC])
def test_children_do_not_export_over_the_connections_of_their_parent(
    protocol: str, tmp_path: Path, receiver: Receiver, port: int
) -> None:
    users = [f"user{number}" for number in range(10)]
    variables = receiver.environment(protocol) | environment(port)
    with Program(tmp_path, HANDLER + SAYS_SOMETHING + FORKING, variables) as program:
        program.wait_for("ready")
        receiver.wait_until(
            lambda: [span for span in receiver.spans if span.name == "before"], "span of the parent"
        )
        clients = [poplib.POP3("127.0.0.1", port, timeout=30) for _ in users]  # all children are there at once
        for client, user in zip(clients, users, strict=True):
            client.user(user)
            client.pass_("secret")
        for client in clients:
            client.quit()
        assert_all_is_there(receiver, users)
        program.terminate()
        program.wait()
    assert "Failed to" not in program.stderr


HANG = 8.0  # seconds; well beyond the one second that leaving may take, below the exporters' time-out of ten


@pytest.mark.parametrize("protocol", [HTTP, GRPC])
@pytest.mark.parametrize("backend", ["closed", "hangs"])
@pytest.mark.parametrize("source", [FORKING, BY_HAND], ids=["ForkingTCPServer", "by hand"])
def test_a_child_goes_though_nobody_takes_what_it_says(
    source: str, backend: str, protocol: str, tmp_path: Path, port: int
) -> None:
    with Receiver(hangs=True) as silent:
        variables = silent.environment(protocol) | environment(port)
        if backend == "closed":
            variables["OTEL_EXPORTER_OTLP_ENDPOINT"] = "http://127.0.0.1:1"
        with Program(tmp_path, HANDLER + source, variables) as program:
            program.wait_for("ready")
            start = time.monotonic()
            log_in(port, "alice")
            program.wait_for("left")
            assert time.monotonic() - start < HANG
            program.process.kill()


LEAVES = {"os._exit": "os._exit(0)", "sys.exit": "sys.exit(0)", "return": "return"}
PRE_FORKED = [("os.fork", "os._exit"), ("os.fork", "sys.exit"), *(("multiprocessing", leave) for leave in LEAVES)]


@pytest.mark.parametrize(("workers", "leave"), PRE_FORKED)
def test_the_sessions_of_a_worker_arrive_when_it_leaves(
    workers: str, leave: str, tmp_path: Path, receiver: Receiver, port: int
) -> None:
    users = [f"user{number}" for number in range(4)]
    source = PRE_FORK.replace("LEAVE", LEAVES[leave]).replace("WORKERS", WORKERS[workers])
    variables = receiver.environment() | environment(port)
    with Program(tmp_path, HANDLER + source, variables) as program:
        program.wait_for("ready")
        for user in users:
            log_in(port, user)
        assert program.wait() == 0
    assert_all_is_there(receiver, users)


@pytest.mark.parametrize("workers", WORKERS)
def test_a_session_that_is_open_when_its_worker_is_stopped_arrives(
    workers: str, tmp_path: Path, receiver: Receiver, port: int
) -> None:
    source = PRE_FORK.replace("LEAVE", "return").replace("WORKERS", WORKERS[workers])
    variables = receiver.environment() | environment(port)
    with Program(tmp_path, HANDLER + source, variables) as program:
        program.wait_until(lambda: program.stdout.count("worker") == 2, "two workers")
        client = poplib.POP3("127.0.0.1", port, timeout=30)
        client.user("alice")
        for line in program.stdout.splitlines():
            if line.startswith("worker"):
                terminate(int(line.split()[1]))
        (session,) = receiver.wait_for_sessions()
        program.wait()
        client.close()
    assert session.attributes["sessionspan.end_reason"] == "process_exit"


# One server with threads, and one that forks.
BOTH = """
import threading
threads = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
threads.daemon_threads = True
threading.Thread(target=threads.serve_forever, args=(0.02,), daemon=True).start()
os.environ["SESSIONSPAN_PORTS"] += f",{threads.server_address[1]}:pop3"
from sessionspan import settings
settings.reload()
print("threads", threads.server_address[1], flush=True)
"""


def test_a_session_is_told_by_the_process_that_serves_it(tmp_path: Path, receiver: Receiver, port: int) -> None:
    variables = receiver.environment() | environment(port)
    with Program(tmp_path, HANDLER + BOTH + FORKING, variables) as program:
        of_the_parent = poplib.POP3("127.0.0.1", int(program.wait_for("threads")), timeout=30)
        of_the_parent.user("parent")
        of_the_parent.pass_("secret")
        program.wait_for("ready")
        log_in(port, "child")
        receiver.wait_for_sessions(1)
        program.wait_for("left")
        assert of_the_parent._shortcmd("QUIT").startswith(b"+OK")  # type: ignore[attr-defined]
        assert of_the_parent.file.read() == b""  # the server has closed, and its session is over
        of_the_parent.close()
        program.terminate()
        program.wait()
    assert_all_is_there(receiver, ["child", "parent"])


def test_a_child_that_serves_one_connection_counts_nothing(tmp_path: Path, receiver: Receiver, port: int) -> None:
    looks = """
from sessionspan_socketserver import SocketserverInstrumentor
scope = SocketserverInstrumentor.scope

class Handler(Handler):
    def finish(self):
        super().finish()
        print("child", scope.metrics, flush=True)

print("parent", scope.metrics is not None, flush=True)
"""
    variables = receiver.environment() | environment(port)
    with Program(tmp_path, HANDLER + looks + FORKING, variables) as program:
        assert program.wait_for("parent") == "True"
        program.wait_for("ready")
        log_in(port, "alice")
        assert program.wait_for("child") == "None"
        assert_all_is_there(receiver, ["alice"])
    assert not receiver.metrics
