"""The command ``sessionspan doctor``: the table of checks, and the exit code."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable
from typing import Final, TypeAlias

import click

from sessionspan.cli.doctor import canary, exporting, identity, launching, libraries, page, privacy, program
from sessionspan.cli.doctor.findings import LEVELS, Finding, worst
from sessionspan.cli.doctor.subject import Subject, subject_of

Check: TypeAlias = Callable[[Subject], Iterable[Finding]]

# Every check, in the order in which one would look: group -> functions. Each is small, and only looks.
CHECKS: Final[dict[str, tuple[Check, ...]]] = {
    "program": program.CHECKS,
    "launcher": launching.CHECKS,
    "libraries": libraries.CHECKS,
    "identity": identity.CHECKS,
    "export": exporting.CHECKS,
    "privacy": privacy.CHECKS,
}


def examine(subject: Subject, with_canary: bool) -> dict[str, list[Finding]]:
    """All findings about *subject*, by group."""
    checks = CHECKS | ({"canary": canary.CHECKS} if with_canary else {})
    hidden = subject.secrets.hidden
    return {
        group: [hidden(finding) for check in each for finding in check(subject)] for group, each in checks.items()
    }


@click.command(context_settings={"allow_interspersed_args": False})
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object and nothing else.")
@click.option("--canary", "with_canary", is_flag=True, help="Try it: log in to a server, look for the password.")
@click.argument("command", nargs=-1, type=click.UNPROCESSED, metavar="[COMMAND...]")
def doctor(as_json: bool, with_canary: bool, command: tuple[str, ...]) -> None:
    """Say what would be recorded if COMMAND ran, where that would go, and what is in the way.

    \b
    sessionspan doctor                                         this Python, this environment
    sessionspan doctor python my_server.py                     as `sessionspan run` would start it
    sessionspan doctor opentelemetry-instrument python app.py  as that launcher would
    sessionspan doctor --canary                                and look for a password in what leaves

    COMMAND is not run. Its interpreter is started with our patches applied, and asked; each OTLP endpoint gets an
    empty request, for at most a few seconds. Values of headers and keys are never shown.

    The exit code is 0: all well, 1: warnings, 2: errors.
    """
    subject = subject_of(command, os.environ)
    groups = examine(subject, with_canary)
    if as_json:
        page.print_json(subject, groups)
    else:
        page.print_text(subject, groups)
    sys.exit(LEVELS.index(worst(finding for findings in groups.values() for finding in findings)))
