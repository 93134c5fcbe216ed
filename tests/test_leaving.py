"""When a process leaves, its open sessions end, and what is known of them arrives.

Every case is a process of its own with a real session open, under the launcher, exporting to a real receiver.
"""

from __future__ import annotations

import signal
import smtplib
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.otlp_receiver import GRPC, HTTP, PROTOCOLS, Receiver, Span
from tests.programs import SERVER, Program, send_mail, terminate

# Long delays: what arrives has been flushed because the process left, and not because it was time.
LATE = {"OTEL_BSP_SCHEDULE_DELAY": "3600000", "OTEL_BLRP_SCHEDULE_DELAY": "3600000"}
HANG = 15.0  # seconds; well beyond the one second that leaving may take, well below a collector's time-outs

# A server in a thread; what the main thread does meanwhile is filled in.
IN_A_THREAD = """
import signal, socket, sys, threading, time
from aiosmtpd.controller import Controller

with socket.socket() as free:
    free.bind(("127.0.0.1", 0))
    port = free.getsockname()[1]
controller = Controller(object(), hostname="127.0.0.1", port=port)
controller.start()
print("port", port, flush=True)
{main}
"""


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as running:
        yield running


def _environment(receiver: Receiver, protocol: str = HTTP) -> dict[str, str]:
    return receiver.environment(protocol) | LATE


def _the_session(receiver: Receiver) -> Span:
    (session,) = receiver.wait_for_sessions()
    receiver.wait_until(lambda: receiver.named("session.end"), "session.end")
    (end,) = receiver.named("session.end")
    assert end.trace_id == session.trace_id
    assert end.attributes["sessionspan.end_reason"] == session.attributes["sessionspan.end_reason"]
    return session


def _assert_ended_by_exit(receiver: Receiver) -> None:
    session = _the_session(receiver)
    assert session.attributes["sessionspan.end_reason"] == "process_exit"
    assert session.attributes["sessionspan.command.count"] >= 1


# Normal exit.

EXITS = SERVER.replace("await server.serve_forever()", "await loop.run_in_executor(None, sys.stdin.read)").replace(
    "import asyncio\n", "import asyncio, os, sys\n"
)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_session_that_is_open_at_normal_exit_arrives(tmp_path, receiver, protocol):
    # The server runs in a daemon thread, which is simply left behind: nothing cancels its tasks.
    source = IN_A_THREAD.format(main="sys.stdin.read()")
    with Program(tmp_path, source, _environment(receiver, protocol)) as program:
        program.open_session()
        program.close_stdin()
        assert program.wait() == 0
    _assert_ended_by_exit(receiver)


def test_a_session_that_the_server_cancels_before_exit_ends_by_shutdown(tmp_path, receiver):
    with Program(tmp_path, EXITS, _environment(receiver)) as program:
        program.open_session()
        program.close_stdin()
        assert program.wait() == 0
    assert _the_session(receiver).attributes["sessionspan.end_reason"] == "shutdown"


PROVIDER_LATE = """
from opentelemetry import _logs, trace
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from sessionspan_aiosmtpd import AiosmtpdInstrumentor

def set_up():
    tracer_provider = TracerProvider()
    tracer_provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    trace.set_tracer_provider(tracer_provider)
    logger_provider = LoggerProvider()
    logger_provider.add_log_record_processor(BatchLogRecordProcessor(OTLPLogExporter()))
    _logs.set_logger_provider(logger_provider)

AiosmtpdInstrumentor().instrument()
"""


def test_a_session_arrives_at_exit_though_the_provider_came_after_an_earlier_session(tmp_path, receiver):
    main = """
sys.stdin.readline()
set_up()
print("set up", flush=True)
sys.stdin.read()
"""
    source = PROVIDER_LATE + IN_A_THREAD.format(main=main)
    with Program(tmp_path, source, _environment(receiver), launcher=False) as program:
        send_mail(program.port)
        program.tell("go on")
        program.wait_for("set up")
        program.open_session()
        program.close_stdin()
        assert program.wait() == 0
    _assert_ended_by_exit(receiver)


# SIGTERM.

MAINS = {
    "pause": "signal.pause()",
    "pause in a loop": "while True: signal.pause()",
    "sleep": "time.sleep(3600)",
    "join": "controller._thread.join()",
    "event": "threading.Event().wait()",
    "busy": "while True: sum(range(1000))",
}


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_sigterm_ends_the_open_session_of_a_server_in_the_main_thread(tmp_path, receiver, protocol):
    with Program(tmp_path, SERVER, _environment(receiver, protocol)) as program:
        program.open_session()
        program.terminate()
        assert program.wait() == -signal.SIGTERM
    _assert_ended_by_exit(receiver)


@pytest.mark.parametrize("main", [name for name in MAINS if name != "pause"])
def test_sigterm_ends_the_open_session_of_a_controller(tmp_path, receiver, main):
    with Program(tmp_path, IN_A_THREAD.format(main=MAINS[main]), _environment(receiver)) as program:
        program.open_session()
        program.terminate()
        assert program.wait() == -signal.SIGTERM
    _assert_ended_by_exit(receiver)


def test_sigterm_ends_a_program_whose_main_thread_pauses_once(tmp_path, receiver):
    # A handler that returns lets `signal.pause` return, and the script come to its end: a default SIGTERM
    # would never have let it. Status and telemetry are those of the signal all the same.
    source = IN_A_THREAD.format(main=MAINS["pause"])
    with Program(tmp_path, source, _environment(receiver)) as program:
        program.open_session()
        program.terminate()
        assert program.wait() == -signal.SIGTERM
    _assert_ended_by_exit(receiver)


def test_sigterm_exports_what_was_queued_and_nothing_twice(tmp_path, receiver):
    with Program(tmp_path, SERVER, _environment(receiver)) as program:
        for _ in range(5):
            send_mail(program.port)
        program.open_session()
        program.terminate()
        assert program.wait() == -signal.SIGTERM
    sessions = receiver.sessions
    reasons = sorted(session.attributes["sessionspan.end_reason"] for session in sessions)
    assert reasons == ["process_exit", *["quit"] * 5]
    assert len({session.span_id for session in sessions}) == 6
    assert len(receiver.named("session.start")) == len(receiver.named("session.end")) == 6


def test_a_second_sigterm_while_leaving_changes_nothing(tmp_path, receiver):
    with Program(tmp_path, SERVER, _environment(receiver)) as program:
        program.open_session()
        program.terminate(times=3)
        assert program.wait() == -signal.SIGTERM
    _assert_ended_by_exit(receiver)


HOLDS_A_LOCK = """
from sessionspan import live
sys.stdin.readline()
(session,) = live.open_sessions()
with session._span._lock:
    {inside}
signal.pause()
"""


def test_sigterm_that_comes_while_the_main_thread_holds_a_span_lock_ends_the_session(tmp_path, receiver):
    # A handler runs between two bytecodes of the main thread, which may be inside the span's lock.
    source = IN_A_THREAD.format(main=HOLDS_A_LOCK.format(inside="signal.raise_signal(signal.SIGTERM)"))
    with Program(tmp_path, source, _environment(receiver)) as program:
        program.open_session()
        program.tell("go on")
        assert program.wait() == -signal.SIGTERM
    _assert_ended_by_exit(receiver)


def test_sigterm_exports_what_is_queued_though_a_session_cannot_end(tmp_path, receiver):
    # Not one long sleep: a signal that comes just before it would be seen when it is over.
    inside = 'print("locked", flush=True)\n    while True:\n        time.sleep(0.1)'
    source = IN_A_THREAD.format(main=HOLDS_A_LOCK.format(inside=inside))
    with Program(tmp_path, source, _environment(receiver)) as program:
        program.open_session()
        program.tell("go on")
        program.wait_for("locked")
        begun = time.monotonic()
        program.terminate()
        assert program.wait() == -signal.SIGTERM
        assert time.monotonic() - begun < HANG
    assert receiver.named("session.start")


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_sigterm_does_not_wait_for_a_collector_that_hangs(tmp_path, protocol):
    with Receiver(hangs=True) as hanging:
        with Program(tmp_path, SERVER, _environment(hanging, protocol)) as program:
            program.open_session()
            begun = time.monotonic()
            program.terminate()
            assert program.wait() == -signal.SIGTERM
            assert time.monotonic() - begun < HANG
        assert hanging.requests  # it was tried


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_sigterm_does_not_wait_for_a_collector_that_is_not_there(tmp_path, protocol):
    with Receiver() as gone:
        environment = _environment(gone, protocol)
    with Program(tmp_path, SERVER, environment) as program:
        program.open_session()
        begun = time.monotonic()
        program.terminate()
        assert program.wait() == -signal.SIGTERM
        assert time.monotonic() - begun < HANG


# PID 1.

_AS_PID_1 = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child"]


def _pid_1_is_possible() -> bool:
    try:
        return subprocess.run([*_AS_PID_1, "true"], capture_output=True).returncode == 0
    except OSError:
        return False


PID_1 = SERVER.replace(
    "import asyncio\n", 'import asyncio, os, threading\nprint("pid", os.getpid(), flush=True)\n'
).replace(
    "    async def handle_DATA",
    """
    async def handle_NOOP(self, server, session, envelope, arg):
        return "250 " + " ".join(thread.name for thread in threading.enumerate())

    async def handle_DATA""",
)


def _wait_until_flushed(connection: smtplib.SMTP) -> None:
    deadline = time.monotonic() + HANG
    while b"sessionspan-sigterm" in connection.noop()[1]:
        assert time.monotonic() < deadline, "the thread that flushes does not end"


@pytest.mark.skipif(
    not _pid_1_is_possible(), reason="no PID namespaces here (needs root and `apt-get install util-linux`)"
)
def test_sigterm_to_pid_1_exports_what_is_queued_and_ends_nothing(tmp_path, receiver):
    with Program(tmp_path, PID_1, _environment(receiver), prefix=_AS_PID_1) as program:
        assert program.wait_for("pid") == "1"
        send_mail(program.port)
        connection = program.open_session()
        (child,) = Path(f"/proc/{program.process.pid}/task/{program.process.pid}/children").read_text().split()
        terminate(int(child))
        (mailed,) = receiver.wait_for_sessions()
        assert mailed.attributes["sessionspan.end_reason"] == "quit"
        # The kernel does not deliver a default SIGTERM to PID 1, so the server goes on as it would have.
        _wait_until_flushed(connection)
        send_mail(program.port)
        connection.noop()  # answered, so the session before has ended
        terminate(int(child))
        receiver.wait_for_sessions(2)
        _wait_until_flushed(connection)
        connection.quit()
        program.open_session()
        terminate(int(child))
        receiver.wait_for_sessions(3)
        assert [s.attributes["sessionspan.end_reason"] for s in receiver.sessions] == ["quit"] * 3
        assert program.process.poll() is None


# Whose handler.

TELLS_HANDLER = """
import os, signal, sys, threading, time
def on_term(number, frame):
    print("handled", flush=True)
    os._exit(7)
{before}
import aiosmtpd.smtp
{after}
handler = signal.getsignal(signal.SIGTERM)
print("handler", getattr(handler, "__module__", ""), repr(handler), flush=True)
sys.stdin.read()
"""


def _handler(tmp_path: Path, receiver: Receiver, environment: dict[str, str], **parts: str) -> str:
    source = TELLS_HANDLER.format(**{"before": "", "after": ""} | parts)
    launcher = "instrument(" not in source
    with Program(tmp_path, source, _environment(receiver) | environment, launcher=launcher) as program:
        return program.wait_for("handler")


def test_the_handler_is_installed_where_nobody_handles_sigterm(tmp_path, receiver):
    assert "sessionspan" in _handler(tmp_path, receiver, {})


def test_sigterm_off_leaves_the_default_action(tmp_path, receiver):
    assert "SIG_DFL" in _handler(tmp_path, receiver, {"SESSIONSPAN_SIGTERM": "off"})


INSTRUMENT = "from sessionspan_aiosmtpd import AiosmtpdInstrumentor; AiosmtpdInstrumentor().instrument()"


def test_a_handler_of_the_application_that_was_there_before_stays(tmp_path, receiver):
    before = f"signal.signal(signal.SIGTERM, on_term); {INSTRUMENT}"
    assert "on_term" in _handler(tmp_path, receiver, {}, before=before)


def test_an_ignored_sigterm_stays_ignored(tmp_path, receiver):
    before = f"signal.signal(signal.SIGTERM, signal.SIG_IGN); {INSTRUMENT}"
    assert "SIG_IGN" in _handler(tmp_path, receiver, {}, before=before)


def test_a_handler_that_the_application_sets_later_is_its_own(tmp_path, receiver):
    with Program(
        tmp_path,
        TELLS_HANDLER.format(before="", after="signal.signal(signal.SIGTERM, on_term)"),
        _environment(receiver),
    ) as program:
        assert "on_term" in program.wait_for("handler")
        program.terminate()
        program.wait_for("handled")
        assert program.wait() == 7


def test_instrumenting_in_another_thread_leaves_sigterm_alone(tmp_path, receiver):
    before = (
        f"def work():\n    {INSTRUMENT}\nthread = threading.Thread(target=work); thread.start(); thread.join()"
    )
    assert "SIG_DFL" in _handler(tmp_path, receiver, {}, before=before)


CHAINS = SERVER.replace(
    "import asyncio\n",
    """
import asyncio, signal, sys
""",
).replace(
    'print("port"',
    """
    before = signal.getsignal(signal.SIGTERM)
    def on_term(number, frame):
        before(number, frame)
        print("chained", flush=True)
    signal.signal(signal.SIGTERM, on_term)
    print("port\"""",
)


def test_a_handler_that_chains_to_ours_keeps_its_own_plan(tmp_path, receiver):
    # It did not mean to die: what is queued is exported, no session ends, the server goes on.
    with Program(tmp_path, CHAINS, _environment(receiver)) as program:
        send_mail(program.port)
        connection = program.open_session()
        program.terminate()
        program.wait_for("chained")
        (mailed,) = receiver.wait_for_sessions()
        assert mailed.attributes["sessionspan.end_reason"] == "quit"
        assert connection.noop()[0] == 250
        assert program.process.poll() is None


def test_a_handler_that_cleans_up_and_raises_the_signal_again_ends_the_process_by_it(tmp_path, receiver):
    main = """
before = signal.getsignal(signal.SIGTERM)
def on_term(number, frame):
    print("cleaned up", flush=True)
    signal.signal(number, before)
    signal.raise_signal(number)
signal.signal(signal.SIGTERM, on_term)
print("ready", flush=True)
time.sleep(3600)
"""
    with Program(tmp_path, IN_A_THREAD.format(main=main), _environment(receiver)) as program:
        program.open_session()
        program.wait_for("ready")
        program.terminate()
        program.wait_for("cleaned up")
        assert program.wait() == -signal.SIGTERM
    _assert_ended_by_exit(receiver)


def test_a_handler_that_calls_sys_exit_still_loses_no_open_session(tmp_path, receiver):
    main = """
signal.signal(signal.SIGTERM, lambda *args: sys.exit(3))
print("ready", flush=True)
time.sleep(3600)
"""
    with Program(tmp_path, IN_A_THREAD.format(main=main), _environment(receiver)) as program:
        program.open_session()
        program.wait_for("ready")
        program.terminate()
        assert program.wait() == 3
    _assert_ended_by_exit(receiver)


GRACEFUL = SERVER.replace(
    "await server.serve_forever()",
    """stop = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    print("ready", flush=True)
    await stop.wait()
    print("stopping", flush=True)
""",
).replace("import asyncio\n", "import asyncio, signal\n")


def test_a_server_with_a_graceful_stop_of_its_own_keeps_it(tmp_path, receiver):
    with Program(tmp_path, GRACEFUL, _environment(receiver)) as program:
        program.open_session()
        program.wait_for("ready")
        program.terminate()
        program.wait_for("stopping")
        assert program.wait() == 0
    assert _the_session(receiver).attributes["sessionspan.end_reason"] == "shutdown"


# Fork.

FORKS = SERVER.replace("import asyncio\n", "import asyncio, os, sys\n").replace(
    "    async def handle_DATA",
    """
    async def handle_NOOP(self, server, session, envelope, arg):
        from sessionspan import current_session, live
        child = os.fork()
        if child == 0:
            print("child", current_session(), live.open_sessions(), flush=True)
            LEAVE
        os.waitpid(child, 0)
        return "250 2.0.0 Ok: forked"

    async def handle_DATA""",
)
LEAVES = {
    # What each does in the child: run its exit hooks as `sys.exit` does, end by SIGTERM, fall off at once.
    "exit hooks": "import atexit; atexit._run_exitfuncs(); os._exit(0)",
    "sigterm": "import signal; signal.raise_signal(signal.SIGTERM); signal.pause()",
    "at once": "os._exit(0)",
}


# Not exit hooks under gRPC: the exporter's shutdown of a channel that its parent made was seen to hang.
FORKED = [
    (leave, protocol) for leave in LEAVES for protocol in PROTOCOLS if (leave, protocol) != ("exit hooks", GRPC)
]


@pytest.mark.parametrize(("leave", "protocol"), FORKED)
def test_a_forked_child_ends_no_session_of_its_parent(tmp_path, receiver, leave, protocol):
    # Nothing is exported before the end: a fork inherits the locks of threads that are at it, for good.
    source = FORKS.replace("LEAVE", LEAVES[leave])
    with Program(tmp_path, source, _environment(receiver, protocol)) as program:
        connection = program.open_session()
        assert connection.noop()[0] == 250
        assert program.wait_for("child") == "None []"
        connection.quit()
        program.terminate()
        assert program.wait() == -signal.SIGTERM
    session = _the_session(receiver)
    assert session.attributes["sessionspan.end_reason"] == "quit"
    assert receiver.sessions == [session]
    assert len(receiver.named("session.start")) == 1


NO_THREADS = """
import os, signal, threading, time
from sessionspan import sigterm

sigterm.install()

def refuse(thread):
    raise RuntimeError("can't start new thread")

threading.Thread.start = refuse
os.kill(os.getpid(), signal.SIGTERM)
time.sleep(60)
"""


def test_sigterm_ends_a_process_that_can_start_no_thread():
    done = subprocess.run([sys.executable, "-c", NO_THREADS], capture_output=True, timeout=30)
    assert (done.returncode, done.stderr) == (-signal.SIGTERM, b"")
