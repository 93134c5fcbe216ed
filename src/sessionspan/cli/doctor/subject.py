"""What the doctor looks at: the program's command, interpreter and environment, and the answers from inside."""

from __future__ import annotations

import contextlib
import inspect
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from importlib import metadata
from typing import Any, Final

from sessionspan.cli.doctor import inquiry
from sessionspan.cli.doctor.findings import Finding, Secrets, error, warning
from sessionspan.cli.interpreters import (
    PYTHON,
    Refused,
    is_ours,
    launcher_of,
    program_of,
    refuse_isolation,
    shebang,
)
from sessionspan.cli.run import Program, add_console, prepare, resolve
from sessionspan.distro import BACKENDS, DEFAULTS
from sessionspan.settings import Settings, load

RUN: Final = "sessionspan run"
INSTRUMENT: Final = "opentelemetry-instrument"
_PATIENCE: Final = 10.0  # seconds for the answers from inside


@dataclass(frozen=True)
class Subject:
    """A program as it would be started, and what is in place in it."""

    command: tuple[str, ...]
    launcher: str
    environ: Mapping[str, str]  # as the program gets it
    interpreter: str = sys.executable
    obstacles: tuple[Finding, ...] = ()  # why nobody could be asked, or the answer is doubtful
    answer: Mapping[str, Any] = field(default_factory=dict)  # of `inquiry`; empty when it could not be asked
    said: str = ""  # stderr of the inquiry: what the launcher told

    @cached_property
    def effective(self) -> Mapping[str, str]:
        """The environment after the distro has set its defaults."""
        if self.answer:
            others = {name: value for name, value in self.environ.items() if not _is_told(name)}
            return {**others, **self.answer["environ"], **_pulls(self.environ)}
        backend = BACKENDS[load(self.environ)[0].backend]
        return {**DEFAULTS, **backend, **self.environ}

    @cached_property
    def settings(self) -> Settings:
        """The settings of sessionspan in force."""
        return load(self.effective)[0]

    @cached_property
    def secrets(self) -> Secrets:
        """What must not be shown."""
        return Secrets({**os.environ, **self.effective})

    def variable(self, name: str) -> str:
        """The value of *name*, stripped; empty is the same as not set."""
        return self.effective.get(name, "").strip()


def subject_of(command: Sequence[str], environ: Mapping[str, str]) -> Subject:
    """Find out how *command* would be started, and ask inside."""
    found = _started(tuple(command), dict(environ))
    if any(obstacle.level == "error" for obstacle in found.obstacles):
        return found
    return _asked(found)


def _started(command: tuple[str, ...], environ: dict[str, str]) -> Subject:
    """*command* with the launcher and the environment that it would get; nobody is asked yet."""
    if command and os.path.basename(command[0]) == INSTRUMENT:
        return _by_instrument(command, environ)
    words, console = _without_run(command)
    wanted = words or ("python",)
    try:
        program = resolve(wanted, environ)
        _refuse_absent_script(wanted)
    except Refused as refused:
        return Subject(command, RUN, environ, obstacles=(_refusal(refused, wanted),))
    prepare(environ, program)
    if console:
        add_console(environ)
    return Subject(command, RUN, environ, _interpreter_of(program, environ), _note(program, wanted))


def _without_run(command: tuple[str, ...]) -> tuple[tuple[str, ...], bool]:
    """*command* without a leading ``sessionspan run``, and whether that had ``--console``."""
    if len(command) < 2 or os.path.basename(command[0]) != "sessionspan" or command[1] != "run":
        return command, False
    words = list(command[2:])
    console = False
    while words and words[0] in ("--console", "--"):
        console = words.pop(0) == "--console" or console
    return tuple(words), console


def _refuse_absent_script(words: Sequence[str]) -> None:
    """A script that is not there: Python itself would say so, and be started for it."""
    kind, what = program_of(words[1:]) if PYTHON.fullmatch(os.path.basename(words[0])) else ("", "")
    if kind == "script" and not os.path.exists(what):
        raise Refused(f"{what}: no such file.", 127)


def _by_instrument(command: tuple[str, ...], environ: dict[str, str]) -> Subject:
    """*command* is OpenTelemetry's own launcher, which takes the first program on PATH of that name."""
    words = _flags_to_environ(list(command[1:]), environ) or ["python"]
    found = Subject(command, INSTRUMENT, environ)
    try:
        launcher = _executable(command[0], environ)
        folder = launcher_of((shebang(launcher) or [sys.executable])[0], INSTRUMENT)
        path = _executable(words[0], environ)
        interpreter = path
        if PYTHON.fullmatch(os.path.basename(path)):
            refuse_isolation(words[1:])
        else:
            asked = shebang(path) or [sys.executable]
            refuse_isolation(asked[1:])
            interpreter = _executable(asked[0], environ)
        launcher_of(interpreter, words[0])
    except Refused as refused:
        return Subject(command, INSTRUMENT, environ, obstacles=(_refusal(refused, words),))
    entries = [entry for entry in environ.get("PYTHONPATH", "").split(os.pathsep) if entry != folder]
    here = [] if os.getcwd() in entries else [os.getcwd()]
    environ["PYTHONPATH"] = os.pathsep.join([folder, *here, *filter(None, entries)])
    return Subject(command, INSTRUMENT, found.environ, interpreter)


def _flags_to_environ(words: list[str], environ: dict[str, str]) -> list[str]:
    """Take the launcher's own flags from *words* into *environ*: ``--traces_exporter console``."""
    known: dict[str, str] = {}
    for point in metadata.entry_points(group="opentelemetry_environment_variables"):
        for name in filter(lambda name: name.startswith("OTEL_"), dir(point.load())):
            known[name.removeprefix("OTEL_").removeprefix("PYTHON_").lower()] = name
    while words and words[0].startswith("--"):
        flag, equals, value = words.pop(0)[2:].partition("=")
        if not equals and words:
            value = words.pop(0)
        if flag in known:
            environ[known[flag]] = value
    return words


def _executable(name: str, environ: Mapping[str, str]) -> str:
    found = shutil.which(name, path=environ.get("PATH", os.defpath))
    if found is None:
        raise Refused(f"{name}: command not found.", 127)
    return found


def _interpreter_of(program: Program, environ: Mapping[str, str]) -> str:
    """The Python that *program* runs in."""
    path = program.argv[0]
    if path == sys.executable or PYTHON.fullmatch(os.path.basename(path)):
        return path
    asked = (shebang(path) or [sys.executable])[0]
    return sys.executable if is_ours(asked) else shutil.which(asked, path=environ.get("PATH")) or asked


def _note(program: Program, words: Sequence[str]) -> tuple[Finding, ...]:
    if program.note is None:
        return ()
    if "is not a Python program" in program.note:
        return (
            warning(
                "command.not_python",
                program.note,
                f"What follows is for {sys.executable}. Name the Python program itself: "
                "sessionspan doctor python ...",
            ),
        )
    return (
        warning(
            "interpreter.other",
            f"{words[0]} {program.note}",
            "Deactivate the other environment, install sessionspan into it, or give the path of the Python that "
            "you mean: sessionspan run /path/to/python ...",
        ),
    )


def _refusal(refused: Refused, words: Sequence[str]) -> Finding:
    """*refused* as a finding."""
    first, _, rest = str(refused).partition("\n")
    if refused.code == 127:
        return error("command.not_found", first, "Correct the name or the PATH.")
    if refused.code == 126:
        return error("command.not_executable", first, "Name an executable: python, a script, or a .py file.")
    if "keeps sessionspan out" in first:
        return error("interpreter.isolated", first, f"Run it without: {_without_isolation(words)}")
    if rest:
        lacking, *advice = [" ".join(line.split()) for line in rest.split("\n")]
        # The commands on lines of their own, to be copied.
        lines = [part for line in advice for part in line.replace(": ", ":\n", 1).split("\n")]
        return error("interpreter.lacks_sessionspan", f"{first}\n{lacking}", "\n".join(lines))
    return error("interpreter.too_old", first, f"Run it with {sys.executable}: sessionspan run python ...")


def _without_isolation(words: Sequence[str]) -> str:
    """The command without -I, -E and -S before the program's name."""
    _, what = program_of(words[1:])
    end = list(words).index(what) if what in words else len(words)
    kept = [word for word in words[1:end] if not (word[:1] == "-" and word[1:] and set(word[1:]) <= set("IES"))]
    return " ".join([words[0], *kept, *words[end:]])


def _is_told(name: str) -> bool:
    return name.startswith(("OTEL_", "SESSIONSPAN_"))


def _pulls(environ: Mapping[str, str]) -> dict[str, str]:
    """OTEL_METRICS_EXPORTER as it is, where it has an exporter that opens a port: see `_asked`."""
    value = environ.get("OTEL_METRICS_EXPORTER", "")
    return {"OTEL_METRICS_EXPORTER": value} if "prometheus" in value else {}


def _asked(subject: Subject) -> Subject:
    """*subject* with the answers from inside: its interpreter, its launcher and environment, our questions."""
    environ = dict(subject.environ)
    if _pulls(environ):  # the exporter would take the port that the program itself needs
        kept = [name for name in environ["OTEL_METRICS_EXPORTER"].split(",") if name.strip() != "prometheus"]
        environ["OTEL_METRICS_EXPORTER"] = ",".join(kept) or "none"
    output, said, problem = run_bounded(
        [subject.interpreter, "-c", inspect.getsource(inquiry), _folder(subject)], environ, _PATIENCE
    )
    line = next((line for line in output.splitlines() if line.startswith(inquiry.MARK)), None)
    answer: dict[str, Any] = json.loads(line.removeprefix(inquiry.MARK)) if line else {}
    problem = problem or answer.get("broken", "") or ("" if answer else _last_line(said) or "it said nothing")
    if problem:
        obstacle = error(
            "interpreter.no_answer",
            f"{subject.interpreter}, started as the program would be, could not be asked: {problem}.",
            "Start the program itself, and look at its first lines.",
        )
        answer, found = {}, (*subject.obstacles, obstacle)
    else:
        found = subject.obstacles
    return Subject(subject.command, subject.launcher, subject.environ, subject.interpreter, found, answer, said)


def _folder(subject: Subject) -> str:
    """What stands first on the program's sys.path: the folder of its script."""
    words = _without_run(subject.command)[0]
    if subject.launcher == INSTRUMENT:
        words = tuple(_flags_to_environ(list(words[1:]), {}))
    if words and PYTHON.fullmatch(os.path.basename(words[0])):
        kind, what = program_of(words[1:])
        words = (what,) if kind == "script" else ()
    return os.path.dirname(os.path.abspath(words[0])) if words and words[0].endswith(".py") else ""


def _last_line(text: str) -> str:
    return next((line for line in reversed(text.splitlines()) if line.strip()), "")


def run_bounded(
    command: Sequence[str], environ: Mapping[str, str], patience: float, folder: str | None = None
) -> tuple[str, str, str]:
    """stdout and stderr of *command*, and what went wrong; it is killed, with its children, after *patience*."""
    try:
        process = subprocess.Popen(
            command,
            env=environ,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            start_new_session=True,
        )
    except OSError as problem:
        return "", "", str(problem)
    try:
        output, said = process.communicate(timeout=patience)
    except subprocess.TimeoutExpired:
        with contextlib.suppress(OSError):
            os.killpg(process.pid, signal.SIGKILL)
        process.kill()
        return "", "", f"no answer within {patience:.0f} s"
    return output, said, ""
