"""The console sink: a line per event, which no peer can abuse and no closed stream can break."""

from __future__ import annotations

import io
import logging
import os
import pty
import re
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry._logs import SeverityNumber
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import SimpleLogRecordProcessor
from opentelemetry.sdk.trace import TracerProvider

from sessionspan.addresses import Address
from sessionspan.events import AuthFailure, AuthSuccess, Command
from sessionspan.opening import open_session
from sessionspan.scope import Scope
from sessionspan.session import Session
from sessionspan.sinks.console import ConsoleSink


class Printed:
    """A session whose events go to a console sink on *out*."""

    def __init__(self, out: Any) -> None:
        self.out = out
        self.logs = LoggerProvider(shutdown_on_exit=False)
        self.logs.add_log_record_processor(SimpleLogRecordProcessor(ConsoleSink(out)))
        self.scope = Scope("tests")
        self.scope.bind(tracer_provider=TracerProvider(shutdown_on_exit=False), logger_provider=self.logs)

    def session(self) -> Session:
        session = open_session(self.scope, "SMTP", peer=Address("192.0.2.7", 4711))
        assert session is not None
        return session

    def lines(self) -> list[str]:
        """What was printed, as lines that only LF ends."""
        return str(self.out.getvalue()).split("\n")[:-1]


@pytest.fixture
def printed() -> Printed:
    return Printed(io.StringIO())


@pytest.fixture(autouse=True)
def _no_colour_from_outside(monkeypatch):
    for name in ("NO_COLOR", "FORCE_COLOR", "TERM"):
        monkeypatch.delenv(name, raising=False)


def test_every_event_is_one_line_with_time_session_protocol_client_and_user(printed):
    session = printed.session()
    session.record(AuthSuccess(identity="alice", mechanism="PLAIN"))
    session.end("quit")
    lines = printed.lines()
    assert [line.split()[5] for line in lines] == ["session.start", "auth.success", "auth.end", "session.end"]
    assert re.fullmatch(r"\d\d:\d\d:\d\d\.\d{3}", lines[0].split()[0])
    assert lines[0].split()[1:5] == [session.id[:8], "SMTP", "192.0.2.7", "-"]
    assert lines[1].split()[1:] == [
        session.id[:8], "SMTP", "192.0.2.7", "alice", "auth.success", "PLAIN", "alice",
    ]  # fmt: skip


def test_the_columns_of_two_sessions_stand_below_each_other(printed):
    for _ in range(2):
        printed.session().end("quit")
    assert len({line.index("session.") for line in printed.lines()}) == 1


EVIL = "a\x1b[31m\r\n\x07\u202eb\u2066\x9bc\u2028"


def test_control_characters_of_the_peer_do_not_reach_the_terminal(printed):
    session = printed.session()
    session.record(AuthFailure(mechanism=EVIL, user_name=EVIL))
    session.set_username(EVIL)
    printed.logs.get_logger("evil\x1b").emit(
        body=EVIL,
        severity_text=EVIL,
        severity_number=SeverityNumber.WARN,
        attributes={
            "session_id": EVIL,
            "client_ip": EVIL,
            "protocol": EVIL,
            "username": EVIL,
            "exception.type": EVIL,
            "exception.message": EVIL,
        },
    )
    session.end("quit")
    lines = printed.lines()
    assert len(lines) == 5  # start, failure, the plain one, auth.end, end
    assert all(character.isprintable() for line in lines for character in line)
    assert "\\x1b[31m\\r\\n" in lines[1]


def test_an_applications_own_record_is_a_line_of_the_session_it_was_made_in(printed):
    session = printed.session()
    session.start()
    printed.logs.get_logger("shop.mail").emit(
        context=session.context,
        body="no space\nleft",
        severity_number=SeverityNumber.ERROR,
        severity_text="ERROR",
        attributes={"exception.type": "OSError", "exception.message": "disk full"},
    )
    line = printed.lines()[-1]
    assert line.split()[1] == session.id[:8]
    assert line.endswith("ERROR shop.mail: no space\\nleft (OSError: disk full)")


def test_a_traceback_stands_under_its_record_and_cannot_pose_as_one(printed):
    printed.logs.get_logger("shop").emit(
        body="failed",
        attributes={"exception.type": "E", "exception.stacktrace": f"Traceback:\n  File x\nE: {EVIL}\n"},
    )
    first, *below = printed.lines()
    assert "shop: failed (E)" in first
    assert below[:2] == ["    Traceback:", "      File x"]
    assert all(line.startswith("    ") for line in below)
    assert all(character.isprintable() for line in below for character in line)


def test_an_applications_own_record_outside_of_sessions_is_a_line_too(printed):
    printed.logs.get_logger("shop").emit(body="up", severity_text="INFO")
    (line,) = printed.lines()
    assert line.split()[1:] == ["-", "-", "-", "-", "INFO", "shop:", "up"]


def test_a_record_with_nothing_in_it_does_not_raise(printed):
    printed.logs.get_logger("").emit()
    printed.logs.get_logger("x").emit(body={"a": [1, b"\x1b"]})
    assert len(printed.lines()) == 2


def test_a_very_long_text_is_cut(printed):
    printed.logs.get_logger("x").emit(body="x" * 1_000_000)
    assert len(printed.lines()[0]) < 2_000


def test_what_the_stream_cannot_encode_is_escaped():
    raw = io.BytesIO()
    printed = Printed(io.TextIOWrapper(raw, encoding="ascii", errors="strict"))
    printed.logs.get_logger("x").emit(body="Grüße")
    assert b"Gr\\xfc\\xdfe" in raw.getvalue()


def test_a_closed_stream_does_not_raise(caplog):
    out = io.StringIO()
    out.close()
    with caplog.at_level(logging.DEBUG):
        Printed(out).session().end("quit")
    assert caplog.records == []


def test_a_process_without_stderr_does_not_raise(monkeypatch, caplog):
    monkeypatch.setattr(sys, "stderr", None)
    with caplog.at_level(logging.DEBUG):
        Printed(None).session().end("quit")
    assert caplog.records == []


def test_it_writes_to_stderr_as_it_is_at_that_moment(capsys):
    Printed(None).session().end("quit")
    out, err = capsys.readouterr()
    assert out == ""
    assert "session.end" in err


PROGRAM = """
    import asyncio, sys
    from sessionspan import session

    with session("SMTP", peer="192.0.2.7"):
        print("the program's own")
    sys.exit(7)
"""


def test_a_reader_who_is_gone_does_not_disturb_the_program(tmp_path):
    program = tmp_path / "program.py"
    program.write_text(textwrap.dedent(PROGRAM))
    reading, writing = os.pipe()
    os.close(reading)
    with open(writing, "wb", closefd=True) as gone:
        done = subprocess.run(
            [sys.executable, "-m", "sessionspan.cli", "run", "--console", str(program)],
            stdout=subprocess.PIPE,
            stderr=gone,
            timeout=60,
        )
    assert done.stdout == b"the program's own\n"
    assert done.returncode == 7


@pytest.fixture
def terminal() -> Iterator[tuple[int, io.TextIOWrapper]]:
    ours, theirs = pty.openpty()
    with open(theirs, "w", encoding="utf-8") as stream:
        yield ours, stream
    os.close(ours)


@pytest.mark.parametrize(
    ("environ", "coloured"),
    [
        ({"TERM": "xterm"}, True),
        ({"TERM": "dumb"}, False),
        ({"TERM": "xterm", "NO_COLOR": "1"}, False),
        ({"TERM": "xterm", "NO_COLOR": ""}, True),
        ({"TERM": "dumb", "FORCE_COLOR": "1"}, True),
        ({"TERM": "xterm", "FORCE_COLOR": "1", "NO_COLOR": "1"}, False),
    ],
)
def test_a_terminal_gets_colour_unless_the_user_says_otherwise(terminal, monkeypatch, environ, coloured):
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    ours, stream = terminal
    session = Printed(stream).session()
    session.record(Command(command="EHLO", sequence=1, reply_code=250))
    assert (b"\x1b[" in os.read(ours, 65536)) is coloured


def test_a_pipe_gets_colour_only_with_force_color(printed, monkeypatch):
    printed.session().end("quit")
    assert "\x1b" not in printed.out.getvalue()
    monkeypatch.setenv("FORCE_COLOR", "1")
    printed.session().end("quit")
    assert "\x1b[" in printed.out.getvalue()


def test_failed_logins_and_errors_stand_out_on_a_terminal(printed, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    session = printed.session()
    session.record(AuthFailure(mechanism="PLAIN"))
    session.failed(ValueError())
    assert "\x1b[33mauth.failure" in printed.out.getvalue()
    assert "\x1b[31msession.exception" in printed.out.getvalue()


def test_an_application_that_prints_its_events_imports_neither_click_nor_rich():
    code = "import sys, sessionspan.sinks.console; print({'click', 'rich', 'sessionspan.cli'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "set()\n"
