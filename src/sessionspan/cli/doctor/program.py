"""Checks of the program: which interpreter it gets, and what keeps ours out of it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Final

from sessionspan.cli.doctor.findings import Finding, ok, warning
from sessionspan.cli.doctor.subject import Subject
from sessionspan.version import __version__


def interpreter(subject: Subject) -> Iterator[Finding]:
    """Which Python, and why that one."""
    yield from subject.obstacles
    told = subject.answer
    if told:
        yield ok(
            "interpreter",
            f"Python {told['version']}, {told['executable']}, with sessionspan {told['sessionspan']} and "
            f"OpenTelemetry {told['opentelemetry']}.",
        )
        if told["sessionspan"] != __version__:
            yield warning(
                "interpreter.sessionspan",
                f"The program gets sessionspan {told['sessionspan']}; this doctor is of {__version__}.",
                "Use the doctor of that interpreter: "
                f"{told['executable']} -m sessionspan.cli doctor {' '.join(subject.command)}",
            )


def conflicts(subject: Subject) -> Iterator[Finding]:
    """Packages of OpenTelemetry that do not fit each other."""
    found = subject.answer.get("conflicts", [])
    if found:
        yield warning(
            "packages.conflict",
            "Packages do not fit each other: " + "; ".join(found) + ".",
            f"Install them in one go: {subject.interpreter} -m pip install --upgrade sessionspan "
            + " ".join(sorted({line.split()[0] for line in found} - {"sessionspan"})),
        )


def sitecustomize(subject: Subject) -> Iterator[Finding]:
    """Another product's way in, which the launcher's shadows."""
    for path in subject.answer.get("sitecustomize", []):
        yield warning(
            "sitecustomize.shadowed",
            f"{path} does not run: Python takes one sitecustomize, and the launcher's is before it.",
            "If the program needs it, import it from a usercustomize module, or from the program itself.",
        )


def pid_1(subject: Subject) -> Iterator[Finding]:
    """The first process of a container."""
    if os.getpid() == 1:
        yield warning(
            "process.pid1",
            "The program would be PID 1: SIGTERM does not end it unless it handles it, and its open sessions are "
            "lost when it is killed.",
            "Start the container with an init (docker run --init), or handle SIGTERM in the program.",
        )


CHECKS: Final = (interpreter, conflicts, sitecustomize, pid_1)
