"""``sessionspan run``: a program under the launcher, in an interpreter that can be instrumented.

It only sets what the user has not set, and then becomes the program: exit code and signals are the program's.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Mapping, MutableMapping, Sequence
from pathlib import PurePath
from typing import Final, NamedTuple, NoReturn

import click

from sessionspan.cli.interpreters import (
    PYTHON,
    Refused,
    is_ours,
    launcher_of,
    own_launcher,
    program_of,
    refuse_isolation,
    shebang,
)

_CONSOLE: Final = "sessionspan_console"
_EXPORTERS: Final = ("OTEL_TRACES_EXPORTER", "OTEL_METRICS_EXPORTER", "OTEL_LOGS_EXPORTER")


class Program(NamedTuple):
    """What will be executed."""

    argv: list[str]
    launcher: str  # the directory that goes onto PYTHONPATH
    service: str | None  # a name for it, where it has one
    note: str | None = None  # what the user should know before it starts


@click.command(context_settings={"allow_interspersed_args": False})
@click.option("--console", is_flag=True, help="Print each event to stderr as it happens, a line each.")
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED, metavar="COMMAND...")
def run(console: bool, command: tuple[str, ...]) -> None:
    """Run COMMAND, a Python program, with its sessions recorded. The program itself is not changed.

    \b
    sessionspan run --console python my_server.py     watch the sessions, no backend
    sessionspan run my_server.py --port 2525          options after COMMAND are the program's
    sessionspan run python -m aiosmtpd -n             a module
    sessionspan run aiosmtpd -n                       an installed script

    Where it goes: to http://localhost:4318 by OTLP, or as OTEL_EXPORTER_OTLP_ENDPOINT and the other OTEL_*
    variables say; with --console and none of these set, to the terminal only. `python` means the Python that
    sessionspan is installed in.

    The exit code is the program's own; 2: it cannot be instrumented, 126: it is not executable, 127: it was
    not found.
    """
    environ = dict(os.environ)
    try:
        program = resolve(command, environ)
    except Refused as refused:
        click.echo(f"sessionspan: {refused}", err=True)
        sys.exit(refused.code)
    prepare(environ, program)
    if console:
        add_console(environ)
    for note in (program.note, *doubts(environ)):
        if note:
            click.echo(f"sessionspan: {note}", err=True)
    _become(program, environ)


def resolve(command: Sequence[str], environ: Mapping[str, str]) -> Program:
    """The program that *command* means, in an interpreter that records it; else `Refused`."""
    name, *arguments = command
    if name.endswith((".py", ".pyw")):
        if not os.path.exists(name):
            raise Refused(f"{name}: no such file.", 127)
        return _own_python([name, *arguments], environ)
    if is_ours(name):
        return _own_python(arguments, environ)
    path = _find(name, environ)
    if PYTHON.fullmatch(os.path.basename(path)):
        refuse_isolation(arguments)
        return Program([path, *arguments], launcher_of(path, name), _service(arguments))
    interpreter = shebang(path)
    if interpreter is None:
        return Program(
            [path, *arguments],
            own_launcher(),
            None,
            f"{name} is not a Python program. It is started as it is; what it runs with {sys.executable} "
            "is recorded.",
        )
    refuse_isolation(interpreter[1:])
    service = _service([path])
    if is_ours(interpreter[0]):  # `#!/usr/bin/env python3`: as bare `python` above
        return Program([sys.executable, *interpreter[1:], path, *arguments], own_launcher(), service)
    return Program([path, *arguments], launcher_of(_find(interpreter[0], environ), name), service)


def _own_python(arguments: list[str], environ: Mapping[str, str]) -> Program:
    refuse_isolation(arguments)
    activated = environ.get("VIRTUAL_ENV")
    note = None
    if activated and os.path.realpath(activated) != os.path.realpath(sys.prefix):
        note = f"runs with {sys.executable}, where sessionspan is installed, and not with {activated}."
    return Program([sys.executable, *arguments], own_launcher(), _service(arguments), note)


def _find(name: str, environ: Mapping[str, str]) -> str:
    """The path of the executable *name*, as a shell finds it."""
    if os.path.dirname(name):
        if not os.path.exists(name):
            raise Refused(f"{name}: no such file.", 127)
        if os.path.isdir(name) or not os.access(name, os.X_OK):
            raise Refused(f"{name}: not executable.", 126)
        return name
    places = environ.get("PATH", os.defpath)
    if sys.prefix != sys.base_prefix:
        # As with `python`: in a virtual environment that is not activated its own scripts are meant.
        places = os.path.dirname(sys.executable) + os.pathsep + places
    found = shutil.which(name, path=places)
    if found is None:
        raise Refused(f"{name}: command not found.", 127)
    return found


def _service(arguments: Sequence[str]) -> str | None:
    """The service name for what Python runs with *arguments*: that of its script or module."""
    kind, what = program_of(arguments)
    if kind == "module":
        return what.removesuffix(".__main__").rpartition(".")[2] or None
    if kind == "script":
        path = PurePath(os.path.abspath(what))
        return (path.parent.name if path.name == "__main__.py" else path.stem) or None
    return None


def prepare(environ: MutableMapping[str, str], program: Program) -> None:
    """Put *program*'s launcher and our names into *environ*, where the user has said nothing else."""
    entries = [entry for entry in environ.get("PYTHONPATH", "").split(os.pathsep) if entry != program.launcher]
    environ["PYTHONPATH"] = os.pathsep.join([program.launcher, *filter(None, entries)])
    _default(environ, "OTEL_PYTHON_DISTRO", "sessionspan")
    _default(environ, "OTEL_PYTHON_CONFIGURATOR", "sessionspan")
    # OTEL_SERVICE_NAME beats the resource attribute, so it must not be set over one.
    if program.service and "service.name=" not in environ.get("OTEL_RESOURCE_ATTRIBUTES", "").replace(" ", ""):
        _default(environ, "OTEL_SERVICE_NAME", program.service)


def add_console(environ: MutableMapping[str, str]) -> None:
    """Add the console sink to what *environ* says about exporters; alone, when it says nothing."""
    endpoint = any(name.startswith("OTEL_EXPORTER_OTLP_") and name.endswith("ENDPOINT") for name in environ)
    said = endpoint or any(environ.get(name) for name in (*_EXPORTERS, "SESSIONSPAN_BACKEND"))
    logs = [part.strip() for part in environ.get("OTEL_LOGS_EXPORTER", "").split(",") if part.strip()]
    if not logs and endpoint and not environ.get("SESSIONSPAN_BACKEND"):
        logs = ["otlp"]  # the default of the distro, which the console must not displace
    if not said:
        _default(environ, "OTEL_TRACES_EXPORTER", "none")
        _default(environ, "OTEL_METRICS_EXPORTER", "none")
        _default(environ, "OTEL_BLRP_SCHEDULE_DELAY", "100")  # ms: nobody but the reader waits for them
    kept = [name for name in logs if name not in ("none", _CONSOLE)]
    environ["OTEL_LOGS_EXPORTER"] = ",".join([*kept, _CONSOLE])


def doubts(environ: Mapping[str, str]) -> list[str]:
    """What in *environ* will keep sessions from being recorded."""
    found = []
    if environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        found.append("OTEL_SDK_DISABLED=true is set: nothing will be recorded.")
    if _CONSOLE in environ.get("OTEL_LOGS_EXPORTER", ""):
        if environ.get("OTEL_CONFIG_FILE"):
            found.append("OTEL_CONFIG_FILE is set: it alone says what is exported, so --console does nothing.")
        if environ.get("SESSIONSPAN_EVENTS", "").strip().lower() == "span":
            found.append("SESSIONSPAN_EVENTS=span is set: there are no log events for --console to print.")
    return found


def _default(environ: MutableMapping[str, str], name: str, value: str) -> None:
    # OpenTelemetry's rule: an empty variable is one that is not set.
    if not environ.get(name):
        environ[name] = value


def _become(program: Program, environ: Mapping[str, str]) -> NoReturn:
    sys.stdout.flush()
    sys.stderr.flush()
    try:
        os.execve(program.argv[0], program.argv, environ)
    except OSError as error:
        click.echo(f"sessionspan: {program.argv[0]}: {error.strerror}.", err=True)
        sys.exit(126)
