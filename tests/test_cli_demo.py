"""`sessionspan demo`: it works on any machine that has the extra, and leaves nothing behind."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import socket
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from sessionspan.cli import demo_server
from sessionspan.cli.stage import as_span

COMMAND = [sys.executable, "-m", "sessionspan.cli", "demo"]
HOSTILE = {
    "OTEL_EXPORTER_OTLP_ENDPOINT": "http://192.0.2.1:4318",
    "OTEL_SDK_DISABLED": "true",
    "OTEL_PYTHON_DISABLED_INSTRUMENTATIONS": "*",
    "OTEL_TRACES_EXPORTER": "no_such_exporter",
    "OTEL_TRACES_SAMPLER": "always_off",
    "OTEL_SPAN_EVENT_COUNT_LIMIT": "0",
    "OTEL_CONFIG_FILE": "/no/such/file.yaml",
    "SESSIONSPAN_EVENTS": "logs",
    "SESSIONSPAN_IGNORE_CLIENTS": "127.0.0.0/8",
    "http_proxy": "http://192.0.2.1:1",
}


def demo(*options: str, environ: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("SESSIONSPAN_")}
    return subprocess.run(
        [*COMMAND, *options], env=inherited | (environ or {}), capture_output=True, text=True, timeout=90
    )


@pytest.fixture(scope="module")
def done() -> subprocess.CompletedProcess[str]:
    return demo()


def trees(output: str) -> list[list[str]]:
    """The sessions in *output*, as lines."""
    blocks = output.replace("\r", "").split("\n\n")
    return [block.splitlines() for block in blocks if block.lstrip("\x1b[1m").startswith("SMTP session")]


def test_the_demo_shows_a_whole_session_and_one_that_broke_off(done):
    assert (done.returncode, done.stderr) == (0, "")
    whole, broken = trees(done.stdout)
    assert ": ok, " in whole[0]
    assert "alice@example.org at 127.0.0.1" in whole[0]
    assert ": aborted, " in broken[0]
    for told in (
        r"EHLO 250 · STARTTLS 220",
        r"TLS 1\.\d .* \(starttls\)",
        r"login \.\.\.@example.org failed: invalid_credentials \(PLAIN, 535 5.7.8\)",
        r"login alice@example.org accepted \(PLAIN, 235\)",
        r"mail 1 from example.org to example.org, \d+ B: accepted 250",
        r"a recipient at elsewhere.example refused 550 5.7.1",
        r"mail 2 from example.org to example.org",
        r"QUIT 221",
    ):
        assert re.search(told, "\n".join(whole)), told
    assert "never finished" in "\n".join(broken)


def test_each_session_takes_at_most_fifteen_lines_of_eighty_columns():
    output = demo(environ={"COLUMNS": "80"}).stdout
    assert all(len(tree) < 15 for tree in trees(output))
    assert all(len(line) <= 80 for line in output.splitlines() if "demo_server.py" not in line)
    assert "…" not in output


def test_the_demo_says_what_it_does_and_what_to_do_next(done):
    assert "127.0.0.1" in done.stdout.split("SMTP session")[0]
    assert "sessionspan run --console python my_server.py" in done.stdout
    assert "OTEL_EXPORTER_OTLP_ENDPOINT=" in done.stdout


def test_no_secret_is_shown(done):
    assert "wrong pony" not in done.stdout
    assert "correct horse" not in done.stdout


@pytest.mark.parametrize("options", [[], ["--json"]])
def test_the_users_own_variables_do_not_break_the_demo(options):
    done = demo(*options, environ=HOSTILE)
    assert (done.returncode, done.stderr) == (0, "")
    assert "STARTTLS" in done.stdout


def test_json_prints_the_sessions_and_nothing_else():
    done = demo("--json")
    assert done.returncode == 0
    whole, broken = map(json.loads, done.stdout.splitlines())
    assert (whole["name"], whole["kind"]) == ("SMTP session", "SERVER")
    assert whole["attributes"]["sessionspan.outcome"] == "ok"
    assert whole["attributes"]["user.name"] == "alice@example.org"
    assert broken["attributes"]["sessionspan.outcome"] == "aborted"
    assert {event["name"] for event in whole["events"]} >= {
        "sessionspan.session.start",
        "sessionspan.tls.established",
        "sessionspan.auth.failure",
        "sessionspan.auth.success",
        "sessionspan.mail.reception",
        "sessionspan.mail.rejection",
        "sessionspan.session.end",
    }


def test_a_span_read_back_has_the_times_it_was_written_with():
    (line, _) = demo("--json").stdout.splitlines()
    found = json.loads(line)
    span = as_span(found)
    assert span.start_time is not None
    assert span.end_time is not None
    assert 0 < span.end_time - span.start_time < 60 * 10**9
    assert len(span.events) == len(found["events"])


def test_the_demo_leaves_no_file_behind(tmp_path):
    assert demo(environ={"TMPDIR": str(tmp_path)}).returncode == 0
    assert list(tmp_path.iterdir()) == []


def test_a_demo_that_is_ended_takes_its_server_with_it(tmp_path):
    # Its client never comes: the server is up, and waits.
    blocker = tmp_path / "modules"
    blocker.mkdir()
    (blocker / "smtplib.py").write_text(
        "import sys\nclass SMTPException(Exception): pass\n"
        "def SMTP(host, port, **more):\n    print('port', port, flush=True)\n    sys.stdin.read()\n"
    )
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    environ = os.environ | {"PYTHONPATH": str(blocker), "TMPDIR": str(temporary)}
    with subprocess.Popen(
        COMMAND, env=environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        port = next(line.split()[1] for line in process.stdout if line.startswith("port "))
        (certificate,) = temporary.glob("*/server.pem")
        assert certificate.stat().st_mode & 0o077 == 0 or certificate.parent.stat().st_mode & 0o077 == 0
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 128 + signal.SIGTERM
    assert list(temporary.iterdir()) == []
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", int(port)), timeout=10)


def test_a_server_that_fails_is_told_with_what_it_said(tmp_path):
    (tmp_path / "sitecustomize.py").write_text("")
    (tmp_path / "aiosmtpd").mkdir()
    (tmp_path / "aiosmtpd" / "__init__.py").write_text("")
    (tmp_path / "aiosmtpd" / "smtp.py").write_text("raise RuntimeError('no luck')")
    done = demo(environ={"PYTHONPATH": str(tmp_path)})
    assert done.returncode == 1
    assert "the demo failed: the server did not start" in done.stderr
    assert "no luck" in done.stderr


@pytest.mark.parametrize("absent", ["aiosmtpd", "trustme"])
def test_without_the_extra_the_pip_command_is_told_in_one_line(tmp_path, absent):
    (tmp_path / "sitecustomize.py").write_text(
        textwrap.dedent(f"""
            import sys

            class Absent:
                @staticmethod
                def find_spec(name, path=None, target=None):
                    if name.partition(".")[0] == {absent!r}:
                        raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

            sys.meta_path.insert(0, Absent)
        """)
    )
    done = demo(environ={"PYTHONPATH": str(tmp_path)})
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        f"sessionspan: the demo needs {absent}: {sys.executable} -m pip install 'sessionspan[demo]'\n"
    )


def test_a_terminal_gets_colour_and_a_pipe_does_not(done):
    assert "\x1b" not in done.stdout
    ours, theirs = pty.openpty()
    environ = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "FORCE_COLOR")}
    with subprocess.Popen(COMMAND, env=environ | {"TERM": "xterm"}, stdout=theirs, stderr=theirs) as process:
        os.close(theirs)
        seen = b""
        try:
            while chunk := os.read(ours, 65536):
                seen += chunk
        except OSError:  # Linux: EIO when the other end is closed
            pass
    os.close(ours)
    assert process.returncode == 0
    assert b"\x1b[32mlogin alice@example.org accepted" in seen


def test_a_reader_who_is_gone_does_not_make_a_traceback():
    reading, writing = os.pipe()
    os.close(reading)
    with open(writing, "wb") as gone:
        done = subprocess.run(COMMAND, stdout=gone, stderr=subprocess.PIPE, text=True, timeout=90)
    assert "Traceback" not in done.stderr


def test_the_demos_server_does_not_know_of_us():
    text = Path(demo_server.__file__).read_text().lower()
    assert "sessionspan" not in text
    assert "telemetry" not in text
