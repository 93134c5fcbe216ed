"""`sessionspan run`: the program runs as it would, in an interpreter that records it, or not at all."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from sessionspan.cli.interpreters import Refused, program_of, refuse_isolation, shebang
from sessionspan.cli.run import Program, add_console, doubts, prepare

# Says how it was started, and what instruments it.
PROGRAM = """\
import json, os, sys
from opentelemetry import trace

print(json.dumps({
    "argv": sys.argv,
    "executable": sys.executable,
    "provider": type(trace.get_tracer_provider()).__module__,
    "environ": {name: value for name, value in os.environ.items() if name.startswith("OTEL_")},
}))
sys.exit(7)
"""
QUIET = {"OTEL_TRACES_EXPORTER": "none", "OTEL_METRICS_EXPORTER": "none", "OTEL_LOGS_EXPORTER": "none"}


@pytest.fixture
def program(tmp_path: Path) -> Path:
    path = tmp_path / "my_server.py"
    path.write_text(PROGRAM)
    return path


@pytest.fixture(scope="module")
def other_python(tmp_path_factory) -> Path:
    """An interpreter that has nothing installed."""
    folder = tmp_path_factory.mktemp("other") / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True, timeout=60)
    return Path(folder, "bin", "python")


def run(*words: object, environ: dict[str, str] | None = None, **more) -> subprocess.CompletedProcess[str]:
    """Run `sessionspan run` as a user does whose environment has nothing of OpenTelemetry but *environ*."""
    inherited = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("OTEL_", "SESSIONSPAN_")) and name not in ("VIRTUAL_ENV", "PYTHONPATH")
    }
    return subprocess.run(
        [sys.executable, "-m", "sessionspan.cli", "run", *map(str, words)],
        env=inherited | (QUIET if environ is None else environ),
        capture_output=True,
        text=True,
        timeout=60,
        **more,
    )


def told(done: subprocess.CompletedProcess[str]) -> dict:
    assert done.returncode == 7, done.stderr
    found: dict = json.loads(done.stdout)
    return found


def script(path: Path, text: str) -> Path:
    path.write_text(textwrap.dedent(text))
    path.chmod(0o755)
    return path


# The right interpreter.


@pytest.mark.parametrize(
    "words", [["python"], ["python3"], [f"python3.{sys.version_info[1]}"], [sys.executable], []]
)
def test_a_script_runs_instrumented_in_our_interpreter(program, words):
    found = told(run(*words, program, "--console", "-x", "--", "--help"))
    assert found["provider"].startswith("opentelemetry.sdk")
    assert found["executable"] == sys.executable
    assert found["argv"] == [str(program), "--console", "-x", "--", "--help"]


def test_bare_python_is_not_the_one_on_path(program, other_python, tmp_path):
    found = told(run("python", program, environ=QUIET | {"PATH": str(other_python.parent)}))
    assert found["executable"] == sys.executable
    assert found["provider"].startswith("opentelemetry.sdk")


def test_an_activated_environment_that_is_not_used_is_told(program, other_python):
    done = run("python", program, environ=QUIET | {"VIRTUAL_ENV": str(other_python.parents[1])})
    assert done.returncode == 7
    assert f"runs with {sys.executable}" in done.stderr
    assert str(other_python.parents[1]) in done.stderr


def test_a_wrong_interpreter_is_refused_with_the_command_to_run(program, other_python):
    done = run(other_python, program)
    assert (done.returncode, done.stdout) == (2, "")
    assert "cannot import sessionspan" in done.stderr
    assert f"{other_python} -m pip install sessionspan" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_interpreter_that_got_sessionspan_runs_the_program(program, other_python):
    found = told(run(other_python, program, environ=QUIET | {"PYTHONPATH": os.pathsep.join(sys.path[1:])}))
    assert found["executable"] == str(other_python)
    assert found["provider"].startswith("opentelemetry.sdk")


def test_an_interpreter_that_does_not_run_is_refused(tmp_path, program):
    broken = script(tmp_path / "python3", "#!/bin/sh\necho no such version >&2\nexit 3\n")
    done = run(broken, program)
    assert done.returncode == 126
    assert "does not run: no such version" in done.stderr


def test_an_interpreter_that_is_too_old_is_told_so(tmp_path, program):
    old = script(tmp_path / "python3", """#!/bin/sh\necho '{"version": "3.8.1", "missing": "no"}'\n""")
    done = run(old, program)
    assert done.returncode == 2
    assert "is Python 3.8.1; sessionspan needs 3.10 or later" in done.stderr


@pytest.mark.parametrize("option", ["-I", "-E", "-S", "-uI", "-Wignore -E", "-X dev -S", "-W ignore -I"])
def test_an_option_that_keeps_us_out_is_refused(program, option):
    done = run("python", *option.split(), program)
    assert (done.returncode, done.stdout) == (2, "")
    assert f"python -{option[-1]} keeps sessionspan out" in done.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        "-u x.py -I",
        "-m mod -S",
        "-c pass -E",
        "-WI x.py",
        "-X IES x.py",
        "-cI",
        "--check-hash-based-pycs I x.py",
        "-",
    ],
)
def test_options_that_are_not_the_interpreters_are_let_through(arguments):
    refuse_isolation(arguments.split())


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        ("-u dir/x.py a", ("script", "dir/x.py")),
        ("-W ignore -m pkg.mod a", ("module", "pkg.mod")),
        ("-umpkg a", ("module", "pkg")),
        ("-c pass", ("code", "pass")),
        ("", ("", "")),
        ("-", ("", "")),
        ("-- x.py", ("script", "x.py")),
    ],
)
def test_what_python_will_run_is_read_from_its_arguments(arguments, what):
    assert program_of(arguments.split()) == what


# Installed scripts.


def test_an_installed_script_runs_in_its_own_interpreter(tmp_path):
    tool = script(tmp_path / "tool", f"#!{sys.executable}\n{PROGRAM}")
    found = told(run("tool", "-v", environ=QUIET | {"PATH": str(tmp_path)}))
    assert found["provider"].startswith("opentelemetry.sdk")
    assert found["argv"] == [str(tool), "-v"]
    assert found["environ"]["OTEL_SERVICE_NAME"] == "tool"


def test_an_installed_script_of_another_interpreter_is_refused(tmp_path, other_python):
    tool = script(tmp_path / "tool", f"#!{other_python}\n{PROGRAM}")
    done = run(tool)
    assert (done.returncode, done.stdout) == (2, "")
    assert f"{other_python} -m pip install sessionspan" in done.stderr


def test_a_script_for_env_python_runs_in_our_interpreter(tmp_path, other_python):
    tool = script(tmp_path / "tool", f"#!/usr/bin/env python3\n{PROGRAM}")
    found = told(run(tool, environ=QUIET | {"PATH": f"{other_python.parent}{os.pathsep}{os.environ['PATH']}"}))
    assert found["executable"] == sys.executable


def test_a_script_with_an_isolating_shebang_is_refused(tmp_path):
    done = run(script(tmp_path / "tool", f"#!{sys.executable} -I\n{PROGRAM}"))
    assert done.returncode == 2
    assert "python -I keeps sessionspan out" in done.stderr


@pytest.mark.parametrize(
    ("text", "interpreter"),
    [
        ("#!/usr/bin/python3 -s\n", ["/usr/bin/python3", "-s"]),
        ("#!/usr/bin/env -S A=b python3 -u\n", ["python3", "-u"]),
        ("#!/bin/sh\n'''exec' \"/a b/bin/python\" \"$0\" \"$@\"\n' '''\n", ["/a b/bin/python"]),
        ("#!/bin/sh\n'''exec' /a/bin/python3.12 \"$0\" \"$@\"\n' '''\n", ["/a/bin/python3.12"]),
        ("#!/bin/sh\nexec python3 x\n", None),
        ("#!/usr/bin/perl\n", None),
        ("#!\n", None),
        ("\x7fELF", None),
        ("", None),
    ],
)
def test_the_interpreter_of_a_script_is_read_from_its_first_lines(tmp_path, text, interpreter):
    assert shebang(str(script(tmp_path / "tool", text))) == interpreter


# What cannot run, and what is no Python.


def test_a_command_that_is_not_found_is_127():
    done = run("no-such-command-at-all")
    assert done.returncode == 127
    assert done.stderr == "sessionspan: no-such-command-at-all: command not found.\n"


def test_a_file_that_is_not_found_is_127(tmp_path):
    assert run(tmp_path / "nothing.py").returncode == 127
    assert run(tmp_path / "nothing").returncode == 127


def test_a_file_that_is_not_executable_is_126(tmp_path):
    plain = tmp_path / "plain"
    plain.write_text("x")
    for path in (plain, tmp_path):
        done = run(path)
        assert done.returncode == 126
        assert done.stderr == f"sessionspan: {path}: not executable.\n"


def test_a_file_that_the_system_cannot_execute_is_126(tmp_path):
    done = run(script(tmp_path / "tool", "no shebang, no ELF"))
    assert done.returncode == 126
    assert "Exec format error" in done.stderr


def test_a_program_that_is_not_python_runs_and_its_python_children_are_recorded(tmp_path, program):
    python = shlex.quote(sys.executable)
    starter = script(tmp_path / "starter", f"#!/bin/sh\n{python} {shlex.quote(str(program))}\nexit 7\n")
    done = run(starter)
    assert told(done)["provider"].startswith("opentelemetry.sdk")
    assert "is not a Python program" in done.stderr


def test_no_command_is_a_usage_error():
    assert run().returncode == 2


# The process is the program's.


def test_a_signal_ends_the_program_as_it_would(tmp_path):
    path = tmp_path / "waits.py"
    path.write_text("import sys\nprint('up', flush=True)\nsys.stdin.read()\n")
    with subprocess.Popen(
        [sys.executable, "-m", "sessionspan.cli", "run", str(path)],
        env=os.environ | QUIET,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"up\n"
        process.send_signal(signal.SIGKILL)
        assert process.wait(60) == -signal.SIGKILL


def test_stdin_and_stdout_are_the_programs(tmp_path):
    path = tmp_path / "upper.py"
    path.write_text("print(input().upper())")
    assert run(path, input="hello\n").stdout == "HELLO\n"


# What is set, and what is kept.


def test_the_sessionspan_distro_is_named_and_the_service_has_the_scripts_name(program):
    environ = told(run("python", program))["environ"]
    assert environ["OTEL_PYTHON_DISTRO"] == "sessionspan"
    assert environ["OTEL_PYTHON_CONFIGURATOR"] == "sessionspan"
    assert environ["OTEL_SERVICE_NAME"] == "my_server"


def test_what_the_user_has_set_is_kept(program):
    user = {"OTEL_PYTHON_DISTRO": "distro", "OTEL_PYTHON_CONFIGURATOR": "configurator", "OTEL_SERVICE_NAME": "mx1"}
    environ = told(run("python", program, environ=QUIET | user))["environ"]
    assert {name: environ[name] for name in user} == user


def program_for(*arguments: str, service: str | None = "server") -> Program:
    return Program(list(arguments), "/launcher", service)


def test_a_service_name_among_the_resource_attributes_is_kept():
    environ = {"OTEL_RESOURCE_ATTRIBUTES": "a=b, service.name=mx1"}
    prepare(environ, program_for())
    assert "OTEL_SERVICE_NAME" not in environ


def test_an_empty_variable_counts_as_not_set():
    environ = {"OTEL_SERVICE_NAME": "", "OTEL_PYTHON_DISTRO": ""}
    prepare(environ, program_for())
    assert environ["OTEL_SERVICE_NAME"] == "server"
    assert environ["OTEL_PYTHON_DISTRO"] == "sessionspan"


def test_the_users_pythonpath_comes_behind_the_launcher():
    environ = {"PYTHONPATH": os.pathsep.join(["/a", "/launcher", "/b"])}
    prepare(environ, program_for())
    assert environ["PYTHONPATH"] == os.pathsep.join(["/launcher", "/a", "/b"])


CONSOLE = "sessionspan_console"
ALONE = {
    "OTEL_TRACES_EXPORTER": "none",
    "OTEL_METRICS_EXPORTER": "none",
    "OTEL_LOGS_EXPORTER": CONSOLE,
    "OTEL_BLRP_SCHEDULE_DELAY": "100",
}


@pytest.mark.parametrize(
    ("user", "expected"),
    [
        ({}, ALONE),
        ({"OTEL_LOGS_EXPORTER": ""}, ALONE),
        ({"OTEL_LOGS_EXPORTER": "otlp"}, {"OTEL_LOGS_EXPORTER": f"otlp,{CONSOLE}"}),
        ({"OTEL_LOGS_EXPORTER": "otlp, console"}, {"OTEL_LOGS_EXPORTER": f"otlp,console,{CONSOLE}"}),
        ({"OTEL_LOGS_EXPORTER": "none"}, {"OTEL_LOGS_EXPORTER": CONSOLE}),
        ({"OTEL_LOGS_EXPORTER": CONSOLE}, {"OTEL_LOGS_EXPORTER": CONSOLE}),
        (
            {"OTEL_TRACES_EXPORTER": "otlp"},
            {"OTEL_TRACES_EXPORTER": "otlp", "OTEL_LOGS_EXPORTER": CONSOLE},
        ),
        (
            {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://x:4318"},
            {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://x:4318", "OTEL_LOGS_EXPORTER": f"otlp,{CONSOLE}"},
        ),
        (
            {"SESSIONSPAN_BACKEND": "jaeger", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://x:4318"},
            {
                "SESSIONSPAN_BACKEND": "jaeger",
                "OTEL_EXPORTER_OTLP_ENDPOINT": "http://x:4318",
                "OTEL_LOGS_EXPORTER": CONSOLE,
            },
        ),
    ],
)
def test_the_console_is_added_to_what_the_user_exports(user, expected):
    environ = dict(user)
    add_console(environ)
    assert environ == expected


@pytest.mark.parametrize(
    "user",
    [{"OTEL_SDK_DISABLED": "true"}, {"SESSIONSPAN_EVENTS": "span"}, {"OTEL_CONFIG_FILE": "/x.yaml"}],
)
def test_a_variable_that_keeps_the_console_empty_is_told(user):
    environ = user | {"OTEL_LOGS_EXPORTER": CONSOLE}
    (doubt,) = doubts(environ)
    assert next(iter(user)) in doubt
    assert doubts({"OTEL_LOGS_EXPORTER": CONSOLE}) == []


SERVER = """\
import asyncio, smtplib
from aiosmtpd.handlers import Sink
from aiosmtpd.smtp import SMTP

def talk(port):
    with smtplib.SMTP("127.0.0.1", port, local_hostname="laptop.test") as client:
        client.sendmail("a@sender.test", ["b@here.test"], "hello")

async def main():
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: SMTP(Sink(), hostname="mx.test"), "127.0.0.1", 0)
    await asyncio.to_thread(talk, server.sockets[0].getsockname()[1])

asyncio.run(main())
print("the program's own")
"""


def test_a_servers_sessions_are_printed_as_they_happen(tmp_path):
    path = tmp_path / "my_server.py"
    path.write_text(SERVER)
    done = run("--console", "python", path, environ={})
    assert (done.returncode, done.stdout) == (0, "the program's own\n")
    printed = [line.split(None, 5)[5] for line in done.stderr.splitlines() if " SMTP " in line]
    assert [line.split()[0] for line in printed] == [
        "session.start",
        "command",
        "command",
        "command",
        "mail.reception",
        "command",
        "command",
        "session.end",
    ]
    assert printed[4].startswith("mail.reception a@sender.test b@here.test")
    assert printed[-1].startswith("session.end ok quit")


# The front door.


def cli(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "sessionspan.cli", *words], capture_output=True, text=True, timeout=60
    )


def test_the_help_shows_how_to_use_it():
    done = cli("--help")
    assert done.returncode == 0
    assert "sessionspan run --console python my_server.py" in done.stdout
    assert "demo" in done.stdout
    assert all(len(line) <= 80 for line in done.stdout.splitlines())


def test_the_help_imports_neither_the_sdk_nor_rich():
    code = """
        import sys
        from click.testing import CliRunner
        from sessionspan.cli import main
        assert CliRunner().invoke(main, ["--help"]).exit_code == 0
        print({"rich", "opentelemetry.sdk", "aiosmtpd", "sessionspan.cli.run"} & set(sys.modules))
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout == "set()\n"


def test_the_version_is_told():
    from sessionspan.version import __version__

    assert cli("--version").stdout == f"sessionspan {__version__}\n"


def test_a_program_without_run_before_it_is_told_what_was_meant():
    done = cli("my_server.py", "-v")
    assert done.returncode == 2
    assert "sessionspan run my_server.py -v" in done.stderr


def test_every_command_has_help_that_its_group_knows():
    from sessionspan.cli import _COMMANDS, main

    for name in _COMMANDS:
        command = main.get_command(None, name)  # type: ignore[arg-type]
        assert command is not None
        assert command.help


def test_the_installed_command_is_this_one():
    found = shutil.which("sessionspan", path=os.path.dirname(sys.executable))
    if found is None:
        pytest.skip("sessionspan is not installed beside this interpreter")
    assert subprocess.run([found, "--version"], capture_output=True, timeout=60).returncode == 0


def test_refusals_have_the_exit_code_of_their_kind():
    assert Refused("x").code == 2
    assert Refused("x", 127).code == 127
